import { AuthError } from '../kernel/errors.ts'
import type { RevocationGuard } from '../revocations/revocation-guard.ts'
import type { AccessToken } from '../tokens/access-token.ts'
import type { TokenVerifier } from '../tokens/verify.ts'

/** The issuer's look at its own access tokens. */
export type OwnTokens = {
  /**
   * What a live token says: signed with a key of the ring, not expired and not revoked; undefined for anything else.
   * AppError `temporarily_unavailable` when it cannot be known whether it is revoked. Who sends it is not looked at.
   */
  findLive: (token: string) => Promise<AccessToken | undefined>
}

export function createOwnTokens(
  verify: TokenVerifier,
  { requireNotRevoked }: Pick<RevocationGuard, 'requireNotRevoked'>,
): OwnTokens {
  return {
    async findLive(token) {
      try {
        const live = await verify(token)
        requireNotRevoked(live)
        return live
      } catch (error) {
        if (error instanceof AuthError) return undefined
        throw error
      }
    },
  }
}
