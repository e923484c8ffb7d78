import { describe } from 'vitest'
import { hasRedisServer } from '../support/redis-binary.ts'
import { redisSettings } from '../support/store-settings.ts'
import { describeStops } from './stops-contract.ts'

describe.skipIf(!hasRedisServer)('all of somebody stops, on Redis', () => {
  describeStops(redisSettings)
})
