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
  type Lease,
  type Standing,
} from './counters.ts'
import { watchForJumps } from './jumping-clock.ts'
import { createReplayMemory } from './replay-memory.ts'
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

type Tally = DayTally & { minute: SlidingMinute; running: Set<Lease> }

/** An account with what it has used. */
type Used = { account: Account; tally: Tally }

/** Never asks anybody, so that nothing need be waited for. */
export type MemoryCounters = {
  [name in keyof RecallingCounters]: (
    ...args: Parameters<RecallingCounters[name]>
  ) => Awaited<ReturnType<RecallingCounters[name]>>
} & {
  /** Counts a request that was let in elsewhere, and takes over what is known there of the day. */
  adopt: (of: Accounts, lease: Lease, standing: Standing) => void
  /** What must outlive the process: the days that are not over. */
  days: () => [id: string, tally: DayTally][]
  restoreDays: (days: readonly [id: string, tally: DayTally][]) => void
}

const SWEEP_INTERVAL_MS = 60_000

/** Counts for this process alone. What neither runs nor counts any more is forgotten within a minute of use. */
export function createMemoryCounters(clock: Clock): MemoryCounters {
  const tallies = new Map<string, Tally>()
  const useUp = createReplayMemory(clock)
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

  /** Of an account that nobody has used, nothing is kept. */
  function find(account: Account, nowMs: number): Used {
    const tally = tallies.get(account.id)
    if (tally === undefined) return { account, tally: newTally(nowMs) }
    bringUpToDate(tally, nowMs)
    return { account, tally }
  }

  function count({ account, tally }: Used, lease: Lease, nowMs: number): void {
    tallies.set(account.id, tally)
    if (account.quota.rpm !== undefined) countOne(tally.minute, nowMs)
    if (isDaily(account)) tally.requests += 1
    if (isLeased(account)) tally.running.add(lease)
  }

  function read({ accounts }: Accounts): Standing {
    const nowMs = now()
    return {
      atMs: nowMs,
      balances: accounts.map((account) => balanceOf(find(account, nowMs), nowMs)),
    }
  }

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
    enter({ accounts }, lease, use): Entered {
      const nowMs = now()
      if (use !== undefined && !useUp(use)) {
        return { atMs: nowMs, balances: [], isLetIn: false, wasUsed: true }
      }
      sweep(nowMs)
      const all = accounts.map((account) => find(account, nowMs))
      const isLetIn = all.every((used) => hasRoom(used.account, balanceOf(used, nowMs)))
      if (isLetIn) for (const used of all) count(used, lease, nowMs)
      return { atMs: nowMs, balances: all.map((used) => balanceOf(used, nowMs)), isLetIn }
    },
    adopt({ accounts }, lease, { balances }) {
      const nowMs = now()
      sweep(nowMs)
      for (const [i, account] of accounts.entries()) {
        const used = find(account, nowMs)
        const known = balances[i]
        count(used, lease, nowMs)
        if (known !== undefined) takeOver(used.tally, known)
      }
    },
    leave({ accounts }, lease, how) {
      const { tokens, isCut, enteredAtMs } = how
      for (const { id } of accounts) tallies.get(id)?.running.delete(lease)
      const daily = accounts.filter(isDaily)
      if (daily.length === 0) return
      const nowMs = now()
      for (const account of daily) {
        const { tally } = find(account, nowMs)
        tallies.set(account.id, tally)
        if (dayOf(enteredAtMs) === tally.day) {
          tally.requests = Math.max(0, tally.requests + requestsChange(how))
        }
        if (tokens === undefined && isCut !== true) continue
        tally.tokens += Math.max(tokens ?? 0, isCut === true ? expectedOf(tally) : 0)
        tally.settled += 1
      }
    },
    useUp,
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

function balanceOf({ account, tally }: Used, nowMs: number): Balance {
  const { minute, running, requests, tokens, settled, meanBefore } = tally
  return {
    minuteRequests: minute.total,
    minuteFreesInMs: freesInMs(minute, nowMs),
    running: running.size,
    dayRequests: requests,
    dayTokens: tokens,
    daySettled: settled,
    meanBefore,
    reservedTokens: account.quota.daily_tokens === undefined ? 0 : running.size * expectedOf(tally),
  }
}
