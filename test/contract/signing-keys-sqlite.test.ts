import { describe } from 'vitest'
import { openTestSqlite } from '../support/stores.ts'
import { describeSigningKeys } from './signing-keys-contract.ts'

describe('signing keys on SQLite', () => {
  describeSigningKeys(openTestSqlite)
})
