import { describe } from 'vitest'
import { openTestSqlite } from '../support/stores.ts'
import { describeRegistry } from './registry-contract.ts'

describe('the registry on SQLite', () => {
  describeRegistry(openTestSqlite)
})
