import { describe } from 'vitest'
import { hasOpenssl } from '../support/certificates.ts'
import { sqliteSettings } from '../support/store-settings.ts'
import { describeAuthentication } from './authentication-contract.ts'

describe.skipIf(!hasOpenssl)('every grant with every client authentication, on SQLite', () => {
  describeAuthentication(sqliteSettings)
})
