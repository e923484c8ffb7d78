import { randomUUID } from 'node:crypto'
import { AppError } from '../kernel/errors.ts'
import type { Log } from '../kernel/log.ts'
import {
  isDaily,
  isLeased,
  requestsChange,
  type Accounts,
  type Entered,
  type Lease,
  type LeasedCounters,
  type Leaving,
  type RecallingCounters,
  type SingleUse,
} from '../store/counters.ts'
import type { MemoryCounters } from '../store/memory-counters.ts'
import {
  describeModes,
  limitsAny,
  limitsIn,
  withoutBounds,
  withoutUse,
  type OutageModes,
} from './outage-modes.ts'

export type SharedCountersOptions = {
  shared: LeasedCounters
  /** Counts in parallel what this process lets in, and decides alone while the shared ones are away. */
  local: MemoryCounters
  /** What becomes of each limit meanwhile. */
  modes: OutageModes
  log: Log
  /** How often it is asked whether the shared ones are back. */
  probeIntervalMs?: number
}

export type SharedCounters = Omit<RecallingCounters, 'enter' | 'leave'> & {
  enter: (of: Accounts, lease: Lease, use?: SingleUse) => Promise<Entered>
  leave: (of: Accounts, lease: Lease, how: Leaving) => void
  isDegraded: () => boolean
  setModes: (next: OutageModes) => void
  /** Waits until what has ended is settled. */
  close: () => Promise<void>
}

/** A third of a lease, so that one renewal may fail. */
const RENEW_INTERVAL_MS = 20_000
const PROBE_INTERVAL_MS = 500
/** Requests that ended meanwhile, to be settled when the shared counters are back; so many of them at once. */
const MAX_UNSETTLED = 100_000
const SETTLED_AT_ONCE = 100
/** How often one is tried when the shared counters answer: that it fails is then its own fault. */
const MAX_TRIES = 3

type Settling = { of: Accounts; name: string; how: Leaving; tries: number }

/**
 * Counts with all other proxies and, while that cannot be done, each limit by its mode. Only requests that come before it is known that
 * the shared counters are away have waited for them, and those that use up a proof; the others do not, until a question in the background
 * is answered.
 */
export function createSharedCounters(options: SharedCountersOptions): SharedCounters {
  const { shared, local, log, probeIntervalMs = PROBE_INTERVAL_MS } = options
  // Leases of all proxies are in one place: no two have the same name.
  const own = randomUUID()
  const nameOf = (lease: Lease): string => `${own}:${lease}`
  const running = new Map<Lease, { of: Accounts; isShared: boolean }>()
  let unsettled: Settling[] = []
  // One of each tenant, because each is counted in a place of its own, and only some may be away.
  const failing = new Map<string, Accounts>()
  const settling = new Set<Promise<void>>()
  let { modes } = options
  let isDegraded = false
  let isProbing = false
  let isClosed = false

  const renewing = setInterval(() => isDegraded || renewAll(), RENEW_INTERVAL_MS).unref()
  const probing = setInterval(
    () => isDegraded && !isProbing && void probe(),
    probeIntervalMs,
  ).unref()

  function renewAll(): void {
    for (const [lease, { of }] of running) {
      if (!of.accounts.some(isLeased)) continue
      shared.renew(of, nameOf(lease)).catch((e) => degrade(e, of))
    }
  }

  function degrade(error: unknown, of: Accounts): void {
    failing.set(of.tenant, of)
    if (isDegraded || isClosed) return
    isDegraded = true
    const fields = { event: 'limits.degraded', reason: describeModes(modes), err: error }
    log.error(fields, 'limits cannot be counted with the other proxies')
  }

  async function probe(): Promise<void> {
    isProbing = true
    try {
      for (const [tenant, of] of failing) {
        await shared.probe(of)
        failing.delete(tenant)
      }
      while (unsettled.length > 0 && failing.size === 0) await settleMany()
      if (!isClosed && failing.size === 0) share()
    } catch {
      // Still away: the next probe asks again.
    } finally {
      isProbing = false
    }
  }

  /** Those that fail are tried again, but none for ever: it would keep the others waiting. */
  async function settleMany(): Promise<void> {
    const ended = unsettled.slice(0, SETTLED_AT_ONCE)
    unsettled = unsettled.slice(SETTLED_AT_ONCE)
    await Promise.all(
      ended.map(({ of, name, how, tries }) =>
        Promise.resolve(shared.leave(of, name, how)).catch(() => {
          failing.set(of.tenant, of)
          if (tries < MAX_TRIES) unsettled.push({ of, name, how, tries: tries + 1 })
        }),
      ),
    )
  }

  function share(): void {
    isDegraded = false
    log.info({ event: 'limits.shared' }, 'limits are counted with the other proxies again')
    renewAll()
  }

  /** Sent, not waited for. What a failed one has done is unknown: rather twice than not at all. */
  async function settle(ended: Settling): Promise<void> {
    const { of, name, how } = ended
    try {
      if (!isDegraded) return await shared.leave(of, name, how)
    } catch (error) {
      degrade(error, of)
    }
    if (unsettled.length < MAX_UNSETTLED) unsettled.push(ended)
  }

  function enterAlone(of: Accounts, lease: Lease): Entered {
    if (limitsAny(of, limitsIn('refuse', modes))) throw notCounted()
    const loose = limitsIn('continue', modes)
    const entered = local.enter(withoutBounds(of, loose), lease)
    if (!entered.isLetIn) return withoutUse(entered, loose)
    running.set(lease, { of, isShared: false })
    return entered
  }

  /** Whether what may be used once was used before, the others alone know. */
  async function enter(of: Accounts, lease: Lease, use?: SingleUse): Promise<Entered> {
    if (isDegraded && use !== undefined) {
      if (await shared.useUp(use, of.tenant)) return enter(of, lease)
      return { ...local.recall(of), balances: [], isLetIn: false, wasUsed: true }
    }
    if (isDegraded) return enterAlone(of, lease)
    try {
      const entered = await shared.enter(of, nameOf(lease), use)
      if (!entered.isLetIn) return entered
      local.adopt(of, lease, entered)
      running.set(lease, { of, isShared: true })
      return entered
    } catch (error) {
      degrade(error, of)
      try {
        if (use === undefined) return enterAlone(of, lease)
        throw error
      } finally {
        // They may have counted it all the same.
        if (!running.has(lease)) tellEnd(of, lease, NOT_LET_IN)
      }
    }
  }

  function tellEnd(of: Accounts, lease: Lease, how: Leaving): void {
    if (!hasEffect(of, how)) return
    const sent = settle({ of, name: nameOf(lease), how, tries: 1 }).finally(() =>
      settling.delete(sent),
    )
    settling.add(sent)
  }

  return {
    enter,
    useUp: shared.useUp,
    leave(of, lease, how) {
      const isShared = running.get(lease)?.isShared === true
      running.delete(lease)
      local.leave(of, lease, how)
      tellEnd(of, lease, { ...how, wasEnteredElsewhere: !isShared })
    },
    async read(of) {
      try {
        if (!isDegraded) return await shared.read(of)
      } catch (error) {
        degrade(error, of)
      }
      return local.read(of)
    },
    recall(of) {
      const standing = local.recall(of)
      return isDegraded ? withoutUse(standing, limitsIn('continue', modes)) : standing
    },
    isDegraded: () => isDegraded,
    setModes(next) {
      modes = next
    },
    async close() {
      isClosed = true
      clearInterval(renewing)
      clearInterval(probing)
      await Promise.all(settling)
    },
  }
}

/** Gives back its place, and nothing of its day: whether that was counted, nobody knows. */
const NOT_LET_IN: Leaving = {
  tokens: undefined,
  wasServed: false,
  wasEnteredElsewhere: true,
  enteredAtMs: 0,
}

const hasEffect = ({ accounts }: Accounts, how: Leaving): boolean =>
  accounts.some(
    (account) =>
      isLeased(account) ||
      (isDaily(account) &&
        (how.tokens !== undefined || how.isCut === true || requestsChange(how) !== 0)),
  )

const notCounted = (): AppError =>
  new AppError('temporarily_unavailable', 'It is not known just now what you have left.', {
    reason: 'limits_unavailable',
    headers: { 'retry-after': '1' },
  })
