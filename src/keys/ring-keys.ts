import { createPublicKey, type KeyObject } from 'node:crypto'
import { AuthError } from '../kernel/errors.ts'
import type { Ring } from './ring.ts'

/** The keys that our own tokens are verified with: those of the ring as it is now, in this very process. */
export function createRingKeys(currentRing: () => Ring) {
  return {
    find(kid: string): KeyObject | undefined {
      const jwk = currentRing().keys.find((key) => key.kid === kid)?.publicJwk
      return jwk && createPublicKey({ key: { ...jwk }, format: 'jwk' })
    },
    async fetch(): Promise<never> {
      throw new AuthError('invalid_token', 'The key of this token is not one of ours.', {
        reason: 'unknown_kid',
      })
    },
  }
}
