import { describe } from 'vitest'
import { hasRedisServer } from '../support/redis-binary.ts'
import { openTestRedis } from '../support/stores.ts'
import { backupContract } from './backup-contract.ts'

describe.skipIf(!hasRedisServer)('a backup of one Redis server', () => {
  backupContract(openTestRedis)
})
