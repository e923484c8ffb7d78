import { AppError } from '../kernel/errors.ts'
import type { Log } from '../kernel/log.ts'
import {
  isDaily,
  isLeased,
  type Accounts,
  type Entered,
  type LeasedCounters,
  type Leaving,
  type RecallingCounters,
} from '../store/counters.ts'
import type { MemoryCounters } from '../store/memory-counters.ts'

export type SharedCountersOptions = {
  shared: LeasedCounters
  /** Counts in parallel what this process lets in, and decides alone while the shared ones are away. */
  local: MemoryCounters
  /** What becomes of requests meanwhile: limited by this process alone, refused, or all let in. */
  onFailure: 'local' | 'refuse' | 'continue'
  log: Log
  /** How often it is asked whether the shared ones are back. */
  probeIntervalMs?: number
}

export type SharedCounters = Omit<RecallingCounters, 'enter' | 'leave'> & {
  enter: (of: Accounts, lease: string) => Promise<Entered>
  leave: (of: Accounts, lease: string, how: Leaving) => void
  isDegraded: () => boolean
  /** Waits until what has ended is settled. */
  close: () => Promise<void>
}

/** A third of a lease, so that one renewal may fail. */
const RENEW_INTERVAL_MS = 20_000
const PROBE_INTERVAL_MS = 500
/** Requests that ended meanwhile, to be settled when the shared counters are back. */
const MAX_UNSETTLED = 10_000

type Settling = { of: Accounts; lease: string; how: Leaving }

/**
 * Counts with all other proxies and, while that cannot be done, by `onFailure`. Only requests that come before it is known that
 * the shared counters are away have waited for them; the others do not, until a question in the background is answered.
 */
export function createSharedCounters(options: SharedCountersOptions): SharedCounters {
  const { shared, local, onFailure, log, probeIntervalMs = PROBE_INTERVAL_MS } = options
  const running = new Map<string, { of: Accounts; isShared: boolean }>()
  const unsettled: Settling[] = []
  const settling = new Set<Promise<void>>()
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
      if (of.accounts.some(isLeased)) shared.renew(of, lease).catch(degrade)
    }
  }

  function degrade(error: unknown): void {
    if (isDegraded || isClosed) return
    isDegraded = true
    const fields = { event: 'limits.degraded', reason: onFailure, err: error }
    log.error(fields, 'limits cannot be counted with the other proxies')
  }

  async function probe(): Promise<void> {
    isProbing = true
    try {
      await shared.read({ tenant: '', accounts: [] })
      // Each is tried once more, so that none that cannot be settled keeps the others waiting for ever.
      for (let next = unsettled.shift(); next !== undefined; next = unsettled.shift()) {
        await shared.leave(next.of, next.lease, next.how)
      }
      if (!isClosed) share()
    } catch {
      // Still away: the next probe asks again.
    } finally {
      isProbing = false
    }
  }

  function share(): void {
    isDegraded = false
    log.info({ event: 'limits.shared' }, 'limits are counted with the other proxies again')
    renewAll()
  }

  /** Sent, not waited for. What a failed one has done is unknown: rather twice than not at all. */
  async function settle(ended: Settling): Promise<void> {
    const { of, lease, how } = ended
    try {
      if (!isDegraded) return await shared.leave(of, lease, how)
    } catch (error) {
      degrade(error)
    }
    if (unsettled.length < MAX_UNSETTLED) unsettled.push(ended)
  }

  function enterAlone(of: Accounts, lease: string): Entered {
    if (onFailure === 'refuse') throw notCounted()
    if (onFailure === 'continue') local.adopt(of, lease, { atMs: 0, balances: [] })
    const entered =
      onFailure === 'local' ? local.enter(of, lease) : { isLetIn: true, ...local.read(of) }
    if (entered.isLetIn) running.set(lease, { of, isShared: false })
    return entered
  }

  return {
    async enter(of, lease) {
      if (isDegraded) return enterAlone(of, lease)
      try {
        const entered = await shared.enter(of, lease)
        if (!entered.isLetIn) return entered
        local.adopt(of, lease, entered)
        running.set(lease, { of, isShared: true })
        return entered
      } catch (error) {
        degrade(error)
        return enterAlone(of, lease)
      }
    },
    leave(of, lease, how) {
      const isShared = running.get(lease)?.isShared === true
      running.delete(lease)
      local.leave(of, lease, how)
      if (!hasEffect(of, how)) return
      // Of one that was let in here alone, the shared counters know nothing that could be taken back.
      const ended = { of, lease, how: isShared ? how : { ...how, wasServed: true } }
      const sent = settle(ended).finally(() => settling.delete(sent))
      settling.add(sent)
    },
    async read(of) {
      try {
        if (!isDegraded) return await shared.read(of)
      } catch (error) {
        degrade(error)
      }
      return local.read(of)
    },
    recall: local.recall,
    isDegraded: () => isDegraded,
    async close() {
      isClosed = true
      clearInterval(renewing)
      clearInterval(probing)
      await Promise.all(settling)
    },
  }
}

const hasEffect = ({ accounts }: Accounts, { tokens, wasServed }: Leaving): boolean =>
  accounts.some(
    (account) => isLeased(account) || (isDaily(account) && (tokens !== undefined || !wasServed)),
  )

const notCounted = (): AppError =>
  new AppError('temporarily_unavailable', 'It is not known just now what you have left.', {
    reason: 'limits_unavailable',
    headers: { 'retry-after': '1' },
  })
