import { describe } from 'vitest'
import { hasRedisServer } from '../support/redis-binary.ts'
import { openTestRedis } from '../support/stores.ts'
import { describeSigningKeys } from './signing-keys-contract.ts'

describe.skipIf(!hasRedisServer)('signing keys on one Redis server', () => {
  describeSigningKeys(openTestRedis)
})
