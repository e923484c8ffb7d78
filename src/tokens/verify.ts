import { verify as verifySignature, type KeyObject } from 'node:crypto'
import { epochSeconds, type Clock } from '../kernel/clock.ts'
import { parseAccessToken, type AccessToken, type ClaimsPolicy } from './access-token.ts'
import { createJwsParser, type CompactJws } from './compact-jws.ts'
import type { KeySource } from './remote-jwks.ts'
import { invalidToken, requireAll, type Rule } from './rules.ts'

export type TokenVerifier = (token: string) => Promise<AccessToken>

const ACCESS_TOKEN_TYPES = new Set(['at+jwt', 'application/at+jwt'])

/** What is asked of a header: names what is accepted and refuses the rest; `jwk`, `jku`, `x5u`, `x5c` are never looked at. */
export const HEADER_RULES: readonly Rule<CompactJws['header']>[] = [
  {
    name: 'algorithm',
    refusalOf: ({ alg }) =>
      alg === 'RS256'
        ? undefined
        : invalidToken('The token is not signed with RS256.', 'wrong_alg'),
  },
  {
    name: 'type',
    refusalOf: ({ typ }) =>
      typeof typ === 'string' && ACCESS_TOKEN_TYPES.has(typ.toLowerCase())
        ? undefined
        : invalidToken('The token is not an access token (typ).', 'wrong_typ'),
  },
  {
    name: 'no extension',
    refusalOf: ({ crit, b64 }) =>
      crit === undefined && b64 === undefined
        ? undefined
        : invalidToken('The token needs an extension that is not supported.', 'unsupported_crit'),
  },
]

/**
 * Verifies RS256 JWT access tokens (RFC 9068 §4, RFC 8725) locally. A token that is not good is an AuthError
 * `invalid_token`; keys that cannot be had are an AppError `temporarily_unavailable`.
 */
export function createTokenVerifier(
  keys: KeySource,
  policy: ClaimsPolicy,
  clock: Clock,
): TokenVerifier {
  const parseJws = createJwsParser()
  return async function verifyAccessToken(token) {
    const jws = parseJws(token)
    requireAll(HEADER_RULES, jws.header)
    const kid = kidOf(jws.header)
    requireSignature(jws, keys.find(kid) ?? (await keys.fetch(kid)))
    return parseAccessToken(kid, jws.payload, policy, epochSeconds(clock))
  }
}

/** Which key is to verify it; an AuthError `invalid_token` when none is named. */
export function kidOf({ kid }: CompactJws['header']): string {
  if (typeof kid === 'string' && kid !== '') return kid
  throw invalidToken('The token names no key.', 'no_kid')
}

/** AuthError `invalid_token` unless that key signed it. */
export function requireSignature({ signingInput, signature }: CompactJws, key: KeyObject): void {
  if (verifySignature('RSA-SHA256', Buffer.from(signingInput, 'latin1'), key, signature)) return
  throw invalidToken('The signature is not good.', 'bad_signature')
}
