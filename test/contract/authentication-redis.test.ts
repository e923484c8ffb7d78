import { describe } from 'vitest'
import { hasOpenssl } from '../support/certificates.ts'
import { hasRedisServer } from '../support/redis-binary.ts'
import { redisSettings } from '../support/store-settings.ts'
import { describeAuthentication } from './authentication-contract.ts'

describe.skipIf(!hasRedisServer || !hasOpenssl)(
  'every grant with every client authentication, on Redis',
  () => {
    describeAuthentication(redisSettings)
  },
)
