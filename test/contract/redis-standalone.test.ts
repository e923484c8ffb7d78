import { describe } from 'vitest'
import { hasRedisServer } from '../support/redis-binary.ts'
import { startRedis } from '../support/redis-server.ts'
import { openRedisUnderTest } from './redis-under-test.ts'
import { describeStoreContract } from './store-contract.ts'

describe.skipIf(!hasRedisServer)('the store on one Redis server', () => {
  describeStoreContract(async () => openRedisUnderTest(await startRedis()))
})
