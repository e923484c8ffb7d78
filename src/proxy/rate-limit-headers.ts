import type { LimitName } from '../store/counters.ts'
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
  const tightest = new Map<LimitName, Remaining>()
  for (const limit of limits) {
    const known = tightest.get(limit.name)
    if (known === undefined || limit.remaining < known.remaining) tightest.set(limit.name, limit)
  }
  const shown = [...tightest.values()]
  return {
    'ratelimit-policy': shown
      .map(({ name, quota }) => `"${name}";q=${quota}${POLICY[name]}`)
      .join(', '),
    ratelimit: shown
      .map(({ name, remaining, resetSeconds }) => {
        const reset = resetSeconds === undefined ? '' : `;t=${resetSeconds}`
        return `"${name}";r=${remaining}${reset}`
      })
      .join(', '),
  }
}
