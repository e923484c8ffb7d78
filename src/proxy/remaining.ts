import {
  DAY_MS,
  isExhausted,
  LIMIT_NAMES,
  usedOf,
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
  const all: Remaining[] = []
  for (const [i, { quota: quotas }] of of.accounts.entries()) {
    const [level, balance] = [of.levels[i], balances[i]]
    if (level === undefined || balance === undefined) continue
    for (const name of LIMIT_NAMES) {
      const quota = quotas[name]
      if (quota === undefined) continue
      all.push({
        level,
        name,
        quota,
        remaining: Math.max(0, quota - usedOf(name, balance)),
        resetSeconds: resetSecondsOf(name, balance, atMs),
        isExhausted: isExhausted(name, quota, balance),
      })
    }
  }
  return all
}

function resetSecondsOf(name: LimitName, balance: Balance, atMs: number): number | undefined {
  if (name === 'concurrency') return undefined
  if (name === 'rpm') return Math.ceil(balance.minuteFreesInMs / 1000)
  return Math.ceil((DAY_MS - (atMs % DAY_MS)) / 1000)
}
