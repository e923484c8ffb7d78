import { parseClaims, type Claims, type Confirmation, type LimitsClaim } from './claims.ts'
import { invalidToken, requireAll, type Rule } from './rules.ts'
import { wordsOf } from './scope.ts'

/** The scope that opens the model server. */
export const OCR_SCOPE = 'ocr_api_access'

/** Who calls and what they may do, as the issuer signed it. */
export type AccessToken = {
  kid: string
  jti: string
  subject: string
  clientId: string
  audiences: readonly string[]
  tenantId: string
  scopes: readonly string[]
  limits: LimitsClaim
  /** Seconds since the epoch. */
  issuedAt: number
  expiresAt: number
  /** Whoever lets such a token in must require its sender; see sender.ts. */
  confirmation: Confirmation | undefined
}

export type ClaimsPolicy = {
  issuer: string
  /** Identifiers of our own, one of which `aud` must contain. */
  audiences: readonly string[]
  clockSkewSeconds: number
  /** By whom the sender of a bound token is required: by the caller of the verifier, or else it is refused at once. */
  senderConstrained?: 'checked_by_caller' | 'refused'
}

/** Claims of the right types, with what they are held against; `now` in seconds since the epoch. */
export type JudgedClaims = { claims: Claims; policy: ClaimsPolicy; now: number }

/** What RFC 9068 §4 asks of claims, in the order in which it is looked at. */
export const CLAIM_RULES: readonly Rule<JudgedClaims>[] = [
  {
    name: 'issuer',
    refusalOf: ({ claims, policy }) =>
      claims.iss === policy.issuer
        ? undefined
        : invalidToken('Another issuer issued the token.', 'wrong_issuer'),
  },
  {
    name: 'audience',
    refusalOf: ({ claims, policy }) =>
      claims.aud.some((each) => policy.audiences.includes(each))
        ? undefined
        : invalidToken('The token is for another audience.', 'wrong_audience'),
  },
  {
    name: 'not expired',
    refusalOf: ({ claims, policy, now }) =>
      now < claims.exp + policy.clockSkewSeconds
        ? undefined
        : invalidToken('The token has expired.', 'expired'),
  },
  {
    name: 'valid already',
    refusalOf: ({ claims, policy, now }) =>
      Math.max(claims.iat, claims.nbf ?? 0) <= now + policy.clockSkewSeconds
        ? undefined
        : invalidToken('The token is not valid yet.', 'not_yet_valid'),
  },
]

/**
 * Checks the claims of a token whose signature is good, at `now` (seconds since the epoch) and within the skew
 * (RFC 9068 §4). An AuthError `invalid_token` tells the caller which rule failed.
 */
export function parseAccessToken(
  kid: string,
  payload: Readonly<Record<string, unknown>>,
  policy: ClaimsPolicy,
  now: number,
): AccessToken {
  const claims = parseClaims(payload)
  requireAll(CLAIM_RULES, { claims, policy, now })
  if (claims.cnf !== undefined && policy.senderConstrained !== 'checked_by_caller') {
    throw invalidToken(
      'A sender-constrained token cannot be used as a bearer token.',
      'sender_constrained',
    )
  }
  return toAccessToken(kid, claims)
}

/** The same in our own words; nothing is checked here. */
export function toAccessToken(kid: string, claims: Claims): AccessToken {
  return {
    kid,
    jti: claims.jti,
    subject: claims.sub,
    clientId: claims.client_id,
    audiences: claims.aud,
    tenantId: claims.tenant_id,
    scopes: wordsOf(claims.scope),
    limits: claims.limits,
    issuedAt: claims.iat,
    expiresAt: claims.exp,
    confirmation: claims.cnf,
  }
}
