import { verify as verifySignature } from 'node:crypto'
import { epochSeconds, type Clock } from '../kernel/clock.ts'
import { AuthError } from '../kernel/errors.ts'
import { parseAccessToken, type AccessToken, type ClaimsPolicy } from './access-token.ts'
import { parseCompactJws } from './compact-jws.ts'
import type { KeySource } from './remote-jwks.ts'

export type TokenVerifier = (token: string) => Promise<AccessToken>

const ACCESS_TOKEN_TYPES = new Set(['at+jwt', 'application/at+jwt'])

/**
 * Verifies RS256 JWT access tokens (RFC 9068 §4, RFC 8725) locally. A token that is not good is an AuthError
 * `invalid_token`; keys that cannot be had are an AppError `temporarily_unavailable`.
 */
export function createTokenVerifier(
  keys: KeySource,
  policy: ClaimsPolicy,
  clock: Clock,
): TokenVerifier {
  return async function verifyAccessToken(token) {
    const jws = parseCompactJws(token)
    const kid = requireAcceptableHeader(jws.header)
    const key = keys.find(kid) ?? (await keys.fetch(kid))
    const isGood = verifySignature('RSA-SHA256', Buffer.from(jws.signingInput), key, jws.signature)
    if (!isGood) throw refusal('The signature is not good.', 'bad_signature')
    return parseAccessToken(kid, jws.payload, policy, epochSeconds(clock))
  }
}

/** Names what is accepted and refuses the rest; `jwk`, `jku`, `x5u` and `x5c` are never looked at. */
function requireAcceptableHeader(header: Readonly<Record<string, unknown>>): string {
  const { alg, typ, kid, crit, b64 } = header
  if (alg !== 'RS256') throw refusal('The token is not signed with RS256.', 'wrong_alg')
  if (typeof typ !== 'string' || !ACCESS_TOKEN_TYPES.has(typ.toLowerCase())) {
    throw refusal('The token is not an access token (typ).', 'wrong_typ')
  }
  if (crit !== undefined || b64 !== undefined) {
    throw refusal('The token needs an extension that is not supported.', 'unsupported_crit')
  }
  if (typeof kid !== 'string' || kid === '') throw refusal('The token names no key.', 'no_kid')
  return kid
}

function refusal(detail: string, reason: string): AuthError {
  return new AuthError('invalid_token', detail, { reason })
}
