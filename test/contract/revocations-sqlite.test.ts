import { describe } from 'vitest'
import { openTestSqlite } from '../support/stores.ts'
import { describeRevocations } from './revocations-contract.ts'

describe('revocations on SQLite', () => {
  describeRevocations(async () => {
    const { store, stop } = await openTestSqlite(Date.now)
    return {
      store,
      peer: store,
      remainingMs: async () => 'permanent',
      later: async () => Date.now(),
      interrupt: async () => undefined,
      stop,
    }
  })
})
