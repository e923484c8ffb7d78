import { createPublicKey } from 'node:crypto'
import { AuthError } from '../kernel/errors.ts'
import type { Ring } from '../keys/ring.ts'
import type { KeySource } from '../tokens/remote-jwks.ts'

/** The keys that admin tokens are verified with: those of the ring as it is now, in this very process. */
export function createRingKeys(currentRing: () => Ring): KeySource {
  const find = (kid: string) => {
    const jwk = currentRing().keys.find((key) => key.kid === kid)?.publicJwk
    return jwk && createPublicKey({ key: { ...jwk }, format: 'jwk' })
  }
  return {
    find,
    fetch: async () => {
      throw new AuthError('invalid_token', 'The key of this token is not one of ours.', {
        reason: 'unknown_kid',
      })
    },
  }
}
