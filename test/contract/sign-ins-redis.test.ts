import { describe } from 'vitest'
import { hasRedisServer } from '../support/redis-binary.ts'
import { openTestRedis } from '../support/stores.ts'
import { describeSignIns } from './sign-ins-contract.ts'

describe.skipIf(!hasRedisServer)('signing in, on one Redis server', () => {
  describeSignIns(openTestRedis, { races: 1000 })
})
