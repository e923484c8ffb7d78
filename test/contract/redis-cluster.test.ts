import { describe } from 'vitest'
import { hasRedisServer } from '../support/redis-binary.ts'
import { startRedisCluster } from '../support/redis-server.ts'
import { openRedisUnderTest } from './redis-under-test.ts'
import { describeStoreContract } from './store-contract.ts'

describe.skipIf(!hasRedisServer)('the store on a Redis Cluster', () => {
  describeStoreContract(async () => openRedisUnderTest(await startRedisCluster()))
})
