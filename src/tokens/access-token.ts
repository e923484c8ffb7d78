import { z } from 'zod'
import { AuthError } from '../kernel/errors.ts'

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
  const parsed = accessTokenClaims.safeParse(payload)
  if (!parsed.success) {
    const claim = String(parsed.error.issues[0]?.path[0] ?? 'payload')
    throw refusal(`The claim ${claim} is missing or not valid.`, `claim_${claim}`)
  }
  const claims = parsed.data
  const { issuer, audience, clockSkewSeconds } = policy
  if (claims.iss !== issuer) throw refusal('Another issuer issued the token.', 'wrong_issuer')
  const audiences = [claims.aud].flat()
  if (!audiences.some((each) => [audience].flat().includes(each))) {
    throw refusal('The token is for another audience.', 'wrong_audience')
  }
  if (now >= claims.exp + clockSkewSeconds) throw refusal('The token has expired.', 'expired')
  if (Math.max(claims.iat, claims.nbf ?? 0) > now + clockSkewSeconds) {
    throw refusal('The token is not valid yet.', 'not_yet_valid')
  }
  if (claims.cnf !== undefined && policy.senderConstrained !== 'checked_by_caller') {
    throw refusal(
      'A sender-constrained token cannot be used as a bearer token.',
      'sender_constrained',
    )
  }
  return {
    kid,
    jti: claims.jti,
    subject: claims.sub,
    clientId: claims.client_id,
    audiences,
    tenantId: claims.tenant_id,
    scopes: new Set(claims.scope.split(' ').filter(Boolean)),
    limits: claims.limits,
    issuedAt: claims.iat,
    expiresAt: claims.exp,
    confirmation: claims.cnf,
  }
}

function refusal(detail: string, reason: string): AuthError {
  return new AuthError('invalid_token', detail, { reason })
}
