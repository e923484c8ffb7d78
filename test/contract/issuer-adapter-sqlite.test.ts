import { describe } from 'vitest'
import { openTestSqlite } from '../support/stores.ts'
import { describeIssuerAdapter } from './issuer-adapter-contract.ts'

describe('the issuer on SQLite', () => {
  describeIssuerAdapter(openTestSqlite)
})
