import { describe } from 'vitest'
import { hasRedisServer } from '../support/redis-binary.ts'
import { openTestRedis } from '../support/stores.ts'
import { describeIssuerAdapter } from './issuer-adapter-contract.ts'

describe.skipIf(!hasRedisServer)('the issuer on one Redis server', () => {
  describeIssuerAdapter(openTestRedis)
})
