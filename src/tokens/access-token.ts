import { z } from 'zod'
import { invalidToken, requireAll, type Rule } from './rules.ts'

/** The scope that opens the model server. */
export const OCR_SCOPE = 'ocr_api_access'

/** The tenant of whoever's token names none. */
export const DEFAULT_TENANT = 'default'

/** What one caller may use: requests per minute, concurrent requests, requests and model tokens per UTC day. */
export const limitSetSchema = z.object({
  rpm: z.int().positive().optional(),
  concurrency: z.int().positive().optional(),
  daily_requests: z.int().positive().optional(),
  daily_tokens: z.int().positive().optional(),
})

/** The `limits` claim: a set each for the subject, its client and its tenant, and the tenant's share of the queue. */
export const limitsClaimSchema = z.object({
  subject: limitSetSchema.optional(),
  client: limitSetSchema.optional(),
  tenant: limitSetSchema.optional(),
  weight: z.number().positive().optional(),
})
export type LimitsClaim = z.infer<typeof limitsClaimSchema>

/** Seconds since the epoch, up to the year 9999: what is beyond is a mistake or an attack. */
const numericDate = z.number().min(0).max(253_402_300_799)

/** What a sender-constrained token is bound to (RFC 7800 §3.1, RFC 8705 §3.1, RFC 9449 §6.1). */
const confirmationSchema = z.object({
  jkt: z.string().optional(),
  'x5t#S256': z.string().optional(),
})
export type Confirmation = z.infer<typeof confirmationSchema>

/** RFC 9068 §2.2 with our own `tenant_id` and `limits`. A missing `scope` grants nothing rather than being an error. */
const accessTokenClaims = z.object({
  iss: z.string(),
  aud: z.union([z.string(), z.array(z.string())]),
  sub: z.string().min(1),
  client_id: z.string().min(1),
  jti: z.string().min(1),
  iat: numericDate,
  nbf: numericDate.optional(),
  exp: numericDate,
  scope: z.string().default(''),
  tenant_id: z.string().min(1).default(DEFAULT_TENANT),
  limits: limitsClaimSchema.default({}),
  cnf: confirmationSchema.optional(),
})

/** Who calls and what they may do, as the issuer signed it. */
export type AccessToken = {
  kid: string
  jti: string
  subject: string
  clientId: string
  audiences: readonly string[]
  tenantId: string
  scopes: ReadonlySet<string>
  limits: LimitsClaim
  /** Seconds since the epoch. */
  issuedAt: number
  expiresAt: number
  /** Whoever lets such a token in must require its sender; see sender.ts. */
  confirmation: Confirmation | undefined
}

export type ClaimsPolicy = {
  issuer: string
  /** Our own identifier, or several, one of which `aud` must contain. */
  audience: string | readonly string[]
  clockSkewSeconds: number
  /** By whom the sender of a bound token is required: by the caller of the verifier, or else it is refused at once. */
  senderConstrained?: 'checked_by_caller' | 'refused'
}

type Claims = z.infer<typeof accessTokenClaims>

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
      [claims.aud].flat().some((each) => [policy.audience].flat().includes(each))
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

/** Claims as they must be at least; an AuthError `invalid_token` names the first that is not. */
export function parseClaims(payload: Readonly<Record<string, unknown>>): Claims {
  const parsed = accessTokenClaims.safeParse(payload)
  if (parsed.success) return parsed.data
  const claim = String(parsed.error.issues[0]?.path[0] ?? 'payload')
  throw invalidToken(`The claim ${claim} is missing or not valid.`, `claim_${claim}`)
}

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
    audiences: [claims.aud].flat(),
    tenantId: claims.tenant_id,
    scopes: new Set(claims.scope.split(' ').filter(Boolean)),
    limits: claims.limits,
    issuedAt: claims.iat,
    expiresAt: claims.exp,
    confirmation: claims.cnf,
  }
}
