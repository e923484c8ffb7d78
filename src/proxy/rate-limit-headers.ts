import { LIMIT_NAMES, type LimitName } from '../store/counters.ts'
import type { Remaining } from './remaining.ts'

/** How `RateLimit-Policy` tells of a limit; it stays the same, so that no request need spell it out. */
export const policyOf = (name: LimitName, quota: number): string =>
  `"${name}";q=${quota}${POLICY[name]}`

/** The window in seconds, and the unit where it is not a request (draft-ietf-httpapi-ratelimit-headers §2). */
const POLICY: Record<LimitName, string> = {
  rpm: ';w=60',
  concurrency: ';qu="concurrent-requests"',
  daily_requests: ';w=86400',
  daily_tokens: ';w=86400;qu="tokens"',
}

export type RateLimitHeaders = { readonly 'ratelimit-policy': string; readonly ratelimit: string }

/**
 * `RateLimit-Policy` and `RateLimit` of the IETF draft: of each limit that there is, whoever it is about, the one with the
 * least left, which is the next to refuse.
 */
export function rateLimitHeaders(limits: readonly Remaining[]): RateLimitHeaders {
  let policy = ''
  let left = ''
  for (const name of LIMIT_NAMES) {
    const limit = tightestOf(name, limits)
    if (limit === undefined) continue
    const reset = limit.resetSeconds === undefined ? '' : `;t=${limit.resetSeconds}`
    const leftOfIt = `"${name}";r=${limit.remaining}${reset}`
    policy = policy === '' ? limit.policy : `${policy}, ${limit.policy}`
    left = left === '' ? leftOfIt : `${left}, ${leftOfIt}`
  }
  return { 'ratelimit-policy': policy, ratelimit: left }
}

function tightestOf(name: LimitName, limits: readonly Remaining[]): Remaining | undefined {
  let tightest: Remaining | undefined
  for (const limit of limits) {
    if (limit.name !== name) continue
    if (tightest === undefined || limit.remaining < tightest.remaining) tightest = limit
  }
  return tightest
}
