import { AuthError } from '../kernel/errors.ts'
import type { Clock } from '../kernel/clock.ts'
import type { AccessToken } from '../tokens/access-token.ts'
import type { KeySource } from '../tokens/remote-jwks.ts'
import { createVerifiedTokenCache } from '../tokens/verified-token-cache.ts'
import type { TokenVerifier } from '../tokens/verify.ts'
import { identityHeaders } from './identity-headers.ts'

/** A caller whose token is good, with the headers that tell the model server who it is. */
export type Caller = { token: AccessToken; identityHeaders: readonly string[] }

export type Authenticator = (authorization: string | undefined) => Caller | Promise<Caller>

/** RFC 6750 §2.1; the scheme's case does not matter (RFC 9110 §11.1). */
const BEARER = /^bearer +([A-Za-z0-9._~+/-]+=*)$/i

/**
 * Finds out who calls from the Authorization header alone. An AuthError when there are no credentials or they are not
 * good. A token that was verified before and whose key is still published costs one hash.
 */
export function createAuthenticator(
  verify: TokenVerifier,
  keys: KeySource,
  clock: Clock,
): Authenticator {
  const verified = createVerifiedTokenCache<Caller>(clock)

  async function verifyAndRemember(rawToken: string): Promise<Caller> {
    const token = await verify(rawToken)
    const caller = { token, identityHeaders: identityHeaders(token) }
    verified.set(rawToken, caller)
    return caller
  }

  return function authenticate(authorization) {
    const rawToken = bearerToken(authorization)
    const known = verified.get(rawToken)
    if (known !== undefined && keys.find(known.token.kid) !== undefined) return known
    return verifyAndRemember(rawToken)
  }
}

function bearerToken(authorization: string | undefined): string {
  if (authorization === undefined) {
    throw new AuthError(
      'authentication_required',
      'Send an access token: Authorization: Bearer …',
      {
        reason: 'no_credentials',
      },
    )
  }
  const token = BEARER.exec(authorization)?.[1]
  if (token !== undefined) return token
  if (/^bearer\b/i.test(authorization)) {
    throw new AuthError('invalid_token', 'The Authorization header is malformed.', {
      reason: 'malformed_authorization',
    })
  }
  throw new AuthError('authentication_required', 'Only Bearer credentials are accepted.', {
    reason: 'other_scheme',
  })
}
