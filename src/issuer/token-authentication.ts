import type { IncomingMessage } from 'node:http'
import { AuthError } from '../kernel/errors.ts'
import type { RevocationGuard } from '../revocations/revocation-guard.ts'
import type { AccessToken } from '../tokens/access-token.ts'
import { bearerTokenOf } from '../tokens/bearer.ts'
import type { TokenVerifier } from '../tokens/verify.ts'

export type TokenAuthenticator = (req: IncomingMessage, scope: string) => Promise<AccessToken>

/**
 * Who calls one of the issuer's own resources, by a bearer token with that scope. AuthError when there is none, it is not
 * good, revoked or lacks the scope; AppError `temporarily_unavailable` when it cannot be known whether it is revoked.
 */
export function createTokenAuthenticator(
  verify: TokenVerifier,
  { requireNotRevoked }: Pick<RevocationGuard, 'requireNotRevoked'>,
): TokenAuthenticator {
  return async function authenticateToken(req, scope) {
    const token = await verify(bearerTokenOf(req))
    requireNotRevoked(token)
    if (token.scopes.has(scope)) return token
    throw new AuthError('insufficient_scope', `This needs the scope ${scope}.`, {
      requiredScope: scope,
    })
  }
}
