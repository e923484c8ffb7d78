import { describe } from 'vitest'
import { hasRedisServer } from '../support/redis-binary.ts'
import { openTestRedis } from '../support/stores.ts'
import { describeRegistry } from './registry-contract.ts'

describe.skipIf(!hasRedisServer)('the registry on one Redis server', () => {
  describeRegistry(openTestRedis)
})
