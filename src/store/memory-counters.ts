import type { Clock } from '../kernel/clock.ts'
import {
  dayOf,
  expectedOf,
  hasRoom,
  isDaily,
  isLeased,
  meanOf,
  requestsChange,
  type Account,
  type Accounts,
  type Balance,
  type RecallingCounters,
  type Entered,
  type Standing,
} from './counters.ts'
import { watchForJumps } from './jumping-clock.ts'
import {
  countOne,
  createSlidingMinute,
  forgetOld,
  freesInMs,
  type SlidingMinute,
} from './sliding-minute.ts'

/** What an account has used of one UTC day (its number since the epoch), and what one request took the day before. */
export type DayTally = {
  day: number
  requests: number
  tokens: number
  settled: number
  meanBefore: number
}

type Tally = DayTally & { minute: SlidingMinute; running: Set<string> }

/** Never asks anybody, so that nothing need be waited for. */
export type MemoryCounters = {
  [name in keyof RecallingCounters]: (
    ...args: Parameters<RecallingCounters[name]>
  ) => Awaited<ReturnType<RecallingCounters[name]>>
} & {
  /** Counts a request that was let in elsewhere, and takes over what is known there of the day. */
  adopt: (of: Accounts, lease: string, standing: Standing) => void
  /** What must outlive the process: the days that are not over. */
  days: () => [id: string, tally: DayTally][]
  restoreDays: (days: readonly [id: string, tally: DayTally][]) => void
}

const SWEEP_INTERVAL_MS = 60_000

/** Counts for this process alone. What neither runs nor counts any more is forgotten within a minute of use. */
export function createMemoryCounters(clock: Clock): MemoryCounters {
  const tallies = new Map<string, Tally>()
  let sweptAtMs = clock()
  const now = watchForJumps(clock, days, restoreDays)

  function sweep(nowMs: number): void {
    if (Math.abs(nowMs - sweptAtMs) < SWEEP_INTERVAL_MS) return
    sweptAtMs = nowMs
    for (const [id, tally] of tallies) {
      bringUpToDate(tally, nowMs)
      const isUsed = tally.running.size > 0 || tally.minute.total > 0 || isOfUse(tally)
      if (!isUsed) tallies.delete(id)
    }
  }

  function tallyOf({ id }: Account, nowMs: number): Tally {
    let tally = tallies.get(id)
    if (tally === undefined) {
      tally = newTally(nowMs)
      tallies.set(id, tally)
    } else {
      bringUpToDate(tally, nowMs)
    }
    return tally
  }

  /** Of accounts that nobody has used, nothing is kept. */
  function stand(accounts: readonly Account[], nowMs: number): Standing {
    return {
      atMs: nowMs,
      balances: accounts.map((account) =>
        balanceOf(
          account,
          tallies.has(account.id) ? tallyOf(account, nowMs) : newTally(nowMs),
          nowMs,
        ),
      ),
    }
  }

  function count(accounts: readonly Account[], lease: string, nowMs: number): void {
    for (const account of accounts) {
      const tally = tallyOf(account, nowMs)
      if (account.quota.rpm !== undefined) countOne(tally.minute, nowMs)
      if (isDaily(account)) tally.requests += 1
      if (isLeased(account)) tally.running.add(lease)
    }
  }

  const read = ({ accounts }: Accounts): Standing => stand(accounts, now())

  function days(): [id: string, tally: DayTally][] {
    return [...tallies]
      .filter(([, tally]) => isOfUse(tally))
      .map(([id, { day, requests, tokens, settled, meanBefore }]) => [
        id,
        { day, requests, tokens, settled, meanBefore },
      ])
  }

  function restoreDays(kept: readonly [id: string, tally: DayTally][]): void {
    for (const [id, day] of kept) {
      tallies.set(id, Object.assign(tallies.get(id) ?? newTally(clock()), day))
    }
  }

  return {
    enter({ accounts }, lease): Entered {
      const nowMs = now()
      sweep(nowMs)
      const before = stand(accounts, nowMs)
      const isLetIn = accounts.every((account, i) => {
        const balance = before.balances[i]
        return balance !== undefined && hasRoom(account, balance)
      })
      if (!isLetIn) return { ...before, isLetIn }
      count(accounts, lease, nowMs)
      return { ...stand(accounts, nowMs), isLetIn }
    },
    adopt({ accounts }, lease, { balances }) {
      const nowMs = now()
      sweep(nowMs)
      count(accounts, lease, nowMs)
      for (const [i, account] of accounts.entries()) {
        const known = balances[i]
        if (known !== undefined) takeOver(tallyOf(account, nowMs), known)
      }
    },
    leave({ accounts }, lease, how) {
      const { tokens, isCut, enteredAtMs } = how
      const nowMs = now()
      for (const account of accounts) {
        const tally = tallyOf(account, nowMs)
        tally.running.delete(lease)
        if (!isDaily(account)) continue
        if (dayOf(enteredAtMs) === tally.day) {
          tally.requests = Math.max(0, tally.requests + requestsChange(how))
        }
        if (tokens === undefined && isCut !== true) continue
        tally.tokens += Math.max(tokens ?? 0, isCut === true ? expectedOf(tally) : 0)
        tally.settled += 1
      }
    },
    read,
    recall: read,
    days,
    restoreDays,
  }
}

const newTally = (nowMs: number): Tally => ({
  minute: createSlidingMinute(),
  running: new Set(),
  day: dayOf(nowMs),
  requests: 0,
  tokens: 0,
  settled: 0,
  meanBefore: 0,
})

const isOfUse = ({ requests, tokens, settled, meanBefore }: DayTally): boolean =>
  requests > 0 || tokens > 0 || settled > 0 || meanBefore > 0

/** A day that was begun goes on when the clock is put back a little: nobody gets a second budget for it. */
function bringUpToDate(tally: Tally, nowMs: number): void {
  forgetOld(tally.minute, nowMs)
  const day = dayOf(nowMs)
  if (day === tally.day || day === tally.day - 1) return
  const meanBefore = day === tally.day + 1 ? meanOf(tally.tokens, tally.settled) : 0
  Object.assign(tally, { day, requests: 0, tokens: 0, settled: 0, meanBefore } satisfies DayTally)
}

/** The larger day counts, and with its tokens of how many requests they are. */
function takeOver(tally: Tally, known: Balance): void {
  tally.requests = Math.max(tally.requests, known.dayRequests)
  if (known.meanBefore > 0) tally.meanBefore = known.meanBefore
  if (known.dayTokens <= tally.tokens) return
  tally.tokens = known.dayTokens
  tally.settled = known.daySettled
}

function balanceOf({ quota }: Account, tally: Tally, nowMs: number): Balance {
  const { minute, running, requests, tokens, settled, meanBefore } = tally
  return {
    minuteRequests: minute.total,
    minuteFreesInMs: freesInMs(minute, nowMs),
    running: running.size,
    dayRequests: requests,
    dayTokens: tokens,
    daySettled: settled,
    meanBefore,
    reservedTokens: quota.daily_tokens === undefined ? 0 : running.size * expectedOf(tally),
  }
}
