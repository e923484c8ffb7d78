import {
  DAY_MS,
  isExhausted,
  usedOf,
  type Balance,
  type LimitName,
  type Standing,
} from '../store/counters.ts'
import type { AccountLimit, LimitedAccounts } from './limited-accounts.ts'

/** One limit of a caller and how much of it is left. */
export type Remaining = Omit<AccountLimit, 'at'> & {
  remaining: number
  /** After how long some or, of a day, all of it comes back; undefined where that depends on others alone. */
  resetSeconds: number | undefined
  /** Whether it refuses the next request; of tokens, what is set aside for running requests counts. */
  isExhausted: boolean
}

/** Every limit of these accounts, in the order of the accounts. */
export function remainingOf(of: LimitedAccounts, { atMs, balances }: Standing): Remaining[] {
  const all: Remaining[] = []
  for (const { at, level, name, quota, policy } of of.limits) {
    const balance = balances[at]
    if (balance === undefined) continue
    all.push({
      level,
      name,
      quota,
      policy,
      remaining: Math.max(0, quota - usedOf(name, balance)),
      resetSeconds: resetSecondsOf(name, balance, atMs),
      isExhausted: isExhausted(name, quota, balance),
    })
  }
  return all
}

function resetSecondsOf(name: LimitName, balance: Balance, atMs: number): number | undefined {
  if (name === 'concurrency') return undefined
  if (name === 'rpm') return Math.ceil(balance.minuteFreesInMs / 1000)
  return Math.ceil((DAY_MS - (atMs % DAY_MS)) / 1000)
}
