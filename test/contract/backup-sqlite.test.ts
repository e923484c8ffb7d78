import { describe } from 'vitest'
import { systemClock } from '../../src/kernel/clock.ts'
import { openTestSqlite } from '../support/stores.ts'
import { backupContract } from './backup-contract.ts'

describe('a backup of SQLite', () => {
  backupContract(() => openTestSqlite(systemClock))
})
