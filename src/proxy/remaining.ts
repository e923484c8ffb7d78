import {
  DAY_MS,
  exhaustedIn,
  LIMIT_NAMES,
  type Account,
  type Balance,
  type LimitName,
  type Standing,
} from '../store/counters.ts'
import type { Level, LimitedAccounts } from './limited-accounts.ts'

/** One limit of a caller and how much of it is left. */
export type Remaining = {
  level: Level
  name: LimitName
  quota: number
  remaining: number
  /** After how long some or, of a day, all of it comes back; undefined where that depends on others alone. */
  resetSeconds: number | undefined
  /** Whether it refuses the next request; of tokens, what is set aside for running requests counts. */
  isExhausted: boolean
}

/** Every limit of these accounts, in the order of the accounts. */
export function remainingOf(of: LimitedAccounts, { atMs, balances }: Standing): Remaining[] {
  return of.accounts.flatMap((account, i) => {
    const [level, balance] = [of.levels[i], balances[i]]
    return level === undefined || balance === undefined
      ? []
      : remainingIn(account, balance, atMs).map((remaining) => ({ level, ...remaining }))
  })
}

function remainingIn(account: Account, balance: Balance, atMs: number) {
  const exhausted = exhaustedIn(account, balance)
  const untilMidnight = Math.ceil((DAY_MS - (atMs % DAY_MS)) / 1000)
  const uses: Record<LimitName, { used: number; resetSeconds: number | undefined }> = {
    rpm: {
      used: balance.minuteRequests,
      resetSeconds: Math.ceil(balance.minuteFreesInMs / 1000),
    },
    concurrency: { used: balance.running, resetSeconds: undefined },
    daily_requests: { used: balance.dayRequests, resetSeconds: untilMidnight },
    daily_tokens: { used: balance.dayTokens, resetSeconds: untilMidnight },
  }
  return LIMIT_NAMES.flatMap((name) => {
    const quota = account.quota[name]
    if (quota === undefined) return []
    const { used, resetSeconds } = uses[name]
    const remaining = Math.max(0, quota - used)
    return [{ name, quota, remaining, resetSeconds, isExhausted: exhausted.includes(name) }]
  })
}
