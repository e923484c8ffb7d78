import { LIMIT_NAMES, type LimitName } from '../store/counters.ts'
import type { Remaining } from './remaining.ts'

/** The window in seconds, and the unit where it is not a request (draft-ietf-httpapi-ratelimit-headers §2). */
const POLICY: Record<LimitName, string> = {
  rpm: ';w=60',
  concurrency: ';qu="concurrent-requests"',
  daily_requests: ';w=86400',
  daily_tokens: ';w=86400;qu="tokens"',
}

/**
 * `RateLimit-Policy` and `RateLimit` of the IETF draft: of each limit that there is, whoever it is about, the one with the
 * least left, which is the next to refuse.
 */
export function rateLimitHeaders(limits: readonly Remaining[]): Record<string, string> {
  let policy = ''
  let left = ''
  for (const name of LIMIT_NAMES) {
    const limit = tightestOf(name, limits)
    if (limit === undefined) continue
    const separator = policy === '' ? '' : ', '
    const reset = limit.resetSeconds === undefined ? '' : `;t=${limit.resetSeconds}`
    policy += `${separator}"${name}";q=${limit.quota}${POLICY[name]}`
    left += `${separator}"${name}";r=${limit.remaining}${reset}`
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
