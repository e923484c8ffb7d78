import { AppError } from '../kernel/errors.ts'
import type {
  Entered,
  Lease,
  Leaving,
  LimitName,
  Quota,
  RecallingCounters,
  SingleUse,
} from '../store/counters.ts'
import type { AccessToken } from '../tokens/access-token.ts'
import { usedBefore } from '../tokens/dpop-proof.ts'
import type { AuditFacts } from '../audit/record.ts'
import { accountsOf, type LimitedAccounts } from './limited-accounts.ts'
import { rateLimitHeaders, type RateLimitHeaders } from './rate-limit-headers.ts'
import { remainingOf, type Remaining } from './remaining.ts'

/** A request that was let in and counted. */
export type Counted = {
  /** `RateLimit-Policy` and `RateLimit`, for whatever the answer will be. */
  readonly headers: RateLimitHeaders
  /** For who has waited: AppError `rate_limited` when the tokens of a day are spent by now, as far as this process knows. */
  requireTokens: () => void
  /** Must be called when the request is over; once more does nothing. */
  settle: (usage: AuditFacts['usage'], how: Pick<Leaving, 'wasServed' | 'isCut'>) => void
}

export type Limits = {
  /**
   * Counts a request of this caller; undefined where nothing limits it. AppError `rate_limited` with `Retry-After` when a
   * limit is used up: then nothing was counted. The proof of a bound token is used up by it in any case, in the same go;
   * AuthError `invalid_dpop_proof` when it was before.
   */
  enter: (
    token: AccessToken,
    proof?: SingleUse,
  ) => Counted | Promise<Counted | undefined> | undefined
  /** Uses up the proof, if there is one, for a request that is not counted; with the same error. */
  useUp: (token: AccessToken, proof?: SingleUse) => Promise<void>
  /** How much the caller has left of each limit; counts nothing. */
  read: (token: AccessToken) => Promise<Remaining[]>
  /** What each subject may use whose token limits nobody. */
  setDefaults: (defaults: Quota | undefined) => void
}

/** The caller's limits, counted where `counters` counts. */
export function createLimits(counters: RecallingCounters, defaults: Quota | undefined): Limits {
  let current = defaults
  let lastLease = 0
  let known = new WeakMap<AccessToken, LimitedAccounts | 'none'>()

  /** Of a verified token that is used again, they are the same. */
  function limitedAccountsOf(token: AccessToken): LimitedAccounts | undefined {
    let of = known.get(token)
    if (of === undefined) {
      of = accountsOf(token, current) ?? 'none'
      known.set(token, of)
    }
    return of === 'none' ? undefined : of
  }

  function letIn(of: LimitedAccounts, lease: Lease, entered: Entered): Counted {
    if (entered.wasUsed === true) throw usedBefore()
    const limits = remainingOf(of, entered)
    const headers = rateLimitHeaders(limits)
    if (!entered.isLetIn) throw refusal(limits, headers)
    return new CountedRequest(counters, { of, lease, entered, headers })
  }

  async function useUp(token: AccessToken, proof?: SingleUse): Promise<undefined> {
    if (proof !== undefined && !(await counters.useUp(proof, token.tenantId))) throw usedBefore()
  }

  return {
    enter(token, proof) {
      const of = limitedAccountsOf(token)
      if (of === undefined) return proof && useUp(token, proof)
      lastLease += 1
      const lease = lastLease
      const entering = counters.enter(of, lease, proof)
      return entering instanceof Promise
        ? entering.then((entered) => letIn(of, lease, entered))
        : letIn(of, lease, entering)
    },
    useUp,
    async read(token) {
      const of = limitedAccountsOf(token)
      return of === undefined ? [] : remainingOf(of, await counters.read(of))
    },
    setDefaults(next) {
      current = next
      known = new WeakMap()
    },
  }
}

/** What was counted of a request. */
type Entry = { of: LimitedAccounts; lease: Lease; entered: Entered; headers: RateLimitHeaders }

/** A class, because it is made for every request: closures take twice the memory. */
class CountedRequest implements Counted {
  readonly headers: RateLimitHeaders
  readonly #counters: RecallingCounters
  readonly #entry: Entry
  #isSettled = false

  constructor(counters: RecallingCounters, entry: Entry) {
    this.headers = entry.headers
    this.#counters = counters
    this.#entry = entry
  }

  requireTokens(): void {
    const { of, entered } = this.#entry
    const { atMs, balances } = this.#counters.recall(of)
    const now = entered.balances.map((balance, i) => ({
      ...balance,
      dayTokens: balances[i]?.dayTokens ?? 0,
      reservedTokens: 0,
    }))
    const left = remainingOf(of, { atMs, balances: now })
    const spent = left.filter(({ name, remaining }) => name === 'daily_tokens' && remaining === 0)
    if (spent.length > 0) throw refusal(spent, rateLimitHeaders(left))
  }

  settle(usage: AuditFacts['usage'], { wasServed, isCut }: Pick<Leaving, 'wasServed' | 'isCut'>) {
    if (this.#isSettled) return
    this.#isSettled = true
    const { of, lease, entered } = this.#entry
    const tokens = tokensOf(usage)
    const isStated = tokens !== undefined && usage?.estimated !== true
    const how = {
      tokens,
      wasServed,
      isCut: isCut === true && !isStated,
      enteredAtMs: entered.atMs,
    }
    void this.#counters.leave(of, lease, how)
  }
}

function tokensOf(usage: AuditFacts['usage']): number | undefined {
  if (usage?.prompt_tokens === undefined && usage?.completion_tokens === undefined) return undefined
  return (usage.prompt_tokens ?? 0) + (usage.completion_tokens ?? 0)
}

const WHAT: Record<LimitName, string> = {
  rpm: 'requests in a minute',
  concurrency: 'requests at once',
  daily_requests: 'requests in a day',
  daily_tokens: 'model tokens in a day',
}

/** Names the limit that takes longest to give way, so that who comes back then is not refused by another. */
function refusal(limits: readonly Remaining[], headers: RateLimitHeaders): AppError {
  const [first, ...others] = limits.filter(({ isExhausted }) => isExhausted)
  if (first === undefined) throw new TypeError('a request was refused that every limit lets in')
  const last = others.reduce((a, b) => (waitSecondsOf(b) > waitSecondsOf(a) ? b : a), first)
  const detail = `The ${last.level} may use no more than ${last.quota} ${WHAT[last.name]}.`
  return new AppError('rate_limited', detail, {
    reason: `${last.level}_${last.name}`,
    headers: { ...headers, 'retry-after': String(waitSecondsOf(last)) },
  })
}

/** What running requests hold, they give back at any time: also tokens that were only set aside for them. */
function waitSecondsOf({ name, remaining, resetSeconds }: Remaining): number {
  if (name === 'daily_tokens' && remaining > 0) return 1
  return Math.max(1, resetSeconds ?? 1)
}
