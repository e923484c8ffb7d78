import { z } from 'zod'
import type { Journal } from '../store/store.ts'

/** The longest lifetime that an access token can be given, whatever is configured. */
export const LONGEST_TOKEN_SECONDS = 1800
/** For verifiers whose clock is late. */
const SKEW_SECONDS = 60

/** The one log of revocations. An entry is kept until no token can be alive any more that it speaks of. */
export const REVOCATIONS: Journal = {
  name: 'revocations',
  retentionSeconds: LONGEST_TOKEN_SECONDS + SKEW_SECONDS,
}

/**
 * Tokens that are void although they have not expired: the one with that `jti`, or all of a client, subject, tenant or
 * key whose `iat` ≤ `issued_before`. Matters until `exp` + 60 s. Times are in seconds since the epoch.
 */
export const revocationSchema = z.strictObject({
  kind: z.enum(['jti', 'client', 'sub', 'tenant', 'kid']),
  value: z.string().min(1),
  issued_before: z.int().optional(),
  exp: z.int(),
})
export type Revocation = z.infer<typeof revocationSchema>

/** The entry that voids all that was issued to somebody up to `now`. */
export function revokeIssuedUpTo(
  now: number,
  kind: Exclude<Revocation['kind'], 'jti'>,
  value: string,
): Revocation {
  return { kind, value, issued_before: now, exp: now + LONGEST_TOKEN_SECONDS }
}

/** The entry that voids every token of a key, those included that a thief makes later. */
export function revokeKey(now: number, kid: string): Revocation {
  return { kind: 'kid', value: kid, exp: now + LONGEST_TOKEN_SECONDS }
}

/** Whether no token can be alive any more that it speaks of. */
export const isSpent = ({ exp }: Pick<Revocation, 'exp'>, now: number): boolean =>
  exp + SKEW_SECONDS < now
