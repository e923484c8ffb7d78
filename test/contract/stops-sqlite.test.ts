import { describe } from 'vitest'
import { sqliteSettings } from '../support/store-settings.ts'
import { describeStops } from './stops-contract.ts'

describe('all of somebody stops, on SQLite', () => {
  describeStops(sqliteSettings)
})
