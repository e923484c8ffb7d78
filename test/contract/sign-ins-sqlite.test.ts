import { describe } from 'vitest'
import { openTestSqlite } from '../support/stores.ts'
import { describeSignIns } from './sign-ins-contract.ts'

describe('signing in, on SQLite', () => {
  describeSignIns(openTestSqlite, { races: 50 })
})
