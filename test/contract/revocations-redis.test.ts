import { describe } from 'vitest'
import { hasRedisServer } from '../support/redis-binary.ts'
import { startRedis } from '../support/redis-server.ts'
import { openRedisUnderTest } from './redis-under-test.ts'
import { describeRevocations } from './revocations-contract.ts'

describe.skipIf(!hasRedisServer)('revocations on one Redis server', () => {
  describeRevocations(async () => openRedisUnderTest(await startRedis()))
})
