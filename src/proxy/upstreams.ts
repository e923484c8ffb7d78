import { AppError } from '../kernel/errors.ts'
import type { Log } from '../kernel/log.ts'
import type { CheckResult } from '../kernel/ops-server.ts'
import {
  createUpstream,
  describeEjection,
  isUsable,
  logChange,
  PUBLIC_IN_FLIGHT,
  type ServerOptions,
  type Slot,
  type Upstream,
} from './upstream.ts'
import { createCheckJudge, startUpstreamChecks } from './upstream-checks.ts'
import { isOfTheWay, type UpstreamFailure } from './upstream-failure.ts'
import {
  isDueForTrial,
  nextHealth,
  TRIAL_AFTER_MS,
  USABLE,
  type Observation,
} from './upstream-health.ts'

export type UpstreamOptions = {
  servers: readonly ServerOptions[]
  maxInFlightPerUpstream: number
  connectTimeoutSeconds: number
  /** `intervalSeconds` 0: none. */
  healthCheck: { path: string; intervalSeconds: number }
  log: Log
  /** Milliseconds of a clock that never jumps. */
  now?: () => number
}

/** The model servers and the slots that requests take at them: `maxInFlightPerUpstream` at each. */
export type Upstreams = {
  /**
   * Takes a slot at the least loaded model server that may be used; undefined while each of those is full. Whoever takes
   * one gives it back with `release`. AppError `temporarily_unavailable`, reason `no_upstream`, when none may be used.
   */
  take: () => Slot | undefined
  /** As `take`, beside what others take; `temporarily_unavailable`, reason `public_full`, when too many did. */
  takeForPublic: () => Slot
  release: (slot: Slot) => void
  /** Changes the slot for one elsewhere, if there is a free one where nothing is doubtful; says whether it did. */
  move: (slot: Slot, except: ReadonlySet<Upstream>) => boolean
  /** An answer has begun to come from it. Only one to a request that gave it `work` says that it makes progress. */
  answered: (upstream: Upstream, isWork: boolean) => void
  /** More of an answer to `work` has come. */
  progressed: (upstream: Upstream) => void
  /**
   * A client has left without the answer to its work, which might have taken so long to go on. Clients are often less patient
   * than we are: what they waited for in vain, one after the other, counts together.
   */
  abandoned: (upstream: Upstream, deadlineMs: number) => void
  /** An exchange with it has failed, in which it had so long to make progress; `isWorkUndone`: before an answer to work. */
  failed: (
    upstream: Upstream,
    failure: Pick<UpstreamFailure, 'kind' | 'code'> & { deadlineMs: number; isWorkUndone: boolean },
  ) => void
  /** Calls back whenever `take` may answer differently than before: after a release, or when one comes or goes. */
  onRoom: (listener: () => void) => void
  /** All slots, free and taken, at the model servers that may be used. */
  capacity: () => number
  readiness: () => CheckResult
  all: readonly Upstream[]
  close: () => void
}

const READ_BYTES = 65_536

export function createUpstreams(options: UpstreamOptions): Upstreams {
  const { maxInFlightPerUpstream, healthCheck, log, now = () => performance.now() } = options
  const readBuffer = Buffer.allocUnsafeSlow(READ_BYTES)
  const all = options.servers.map((server) =>
    createUpstream(server, { ...options, readBuffer, now }),
  )
  const listeners: (() => void)[] = []
  let turn = 0

  const circumstancesOf = (upstream: Upstream) => ({
    nowMs: now(),
    isOtherUsable: all.some((other) => other !== upstream && isUsable(other)),
    hasChecks: healthCheck.intervalSeconds > 0,
  })

  const tellListeners = () => {
    for (const listener of listeners) listener()
  }

  function report(upstream: Upstream, seen: Observation): void {
    const before = upstream.health
    const after = nextHealth(before, seen, circumstancesOf(upstream))
    upstream.health = after
    if (after.state === 'usable') upstream.trial = undefined
    else if (after !== before) {
      checks[all.indexOf(upstream)]?.hurry()
      // Then `take` may give it to one request.
      setTimeout(tellListeners, TRIAL_AFTER_MS).unref()
    }
    if (before.state === after.state) return
    logChange(log, upstream)
    tellListeners()
  }

  const checks =
    healthCheck.intervalSeconds === 0
      ? []
      : all.map((upstream) => {
          const judge = createCheckJudge(upstream, (seen) => report(upstream, seen))
          return startUpstreamChecks(upstream.url, { ...options, ...healthCheck }, judge)
        })

  /** Begins where it ended last time, so that equally loaded ones take turns. */
  function leastLoaded(isPublic: boolean, except?: ReadonlySet<Upstream>): Upstream | undefined {
    let least: Upstream | undefined
    for (let i = 0; i < all.length; i += 1) {
      const upstream = all[(turn + i) % all.length]
      if (upstream === undefined || except?.has(upstream) === true) continue
      if (!isUsable(upstream)) continue
      if (least === undefined || loadOf(upstream, isPublic) < loadOf(least, isPublic)) {
        least = upstream
      }
    }
    return least
  }

  const hasRoom = (upstream: Upstream, isPublic: boolean): boolean =>
    loadOf(upstream, isPublic) < (isPublic ? PUBLIC_IN_FLIGHT : maxInFlightPerUpstream)

  function occupy(upstream: Upstream, isPublic: boolean): void {
    if (isPublic) upstream.publicInFlight += 1
    else {
      upstream.inFlight += 1
      upstream.silence.workBegan()
    }
    turn = (all.indexOf(upstream) + 1) % all.length
  }

  function vacate(slot: Slot): void {
    const { upstream, isPublic } = slot
    if (isPublic) upstream.publicInFlight -= 1
    else {
      upstream.inFlight -= 1
      if (upstream.inFlight === 0) upstream.silence.workEnded()
    }
    if (upstream.trial === slot) {
      upstream.trial = undefined
      report(upstream, { kind: 'trial_ended' })
    }
    tellListeners()
  }

  function dueForTrial(): Upstream | undefined {
    for (const upstream of all) {
      if (isUsable(upstream) || upstream.trial !== undefined || !hasRoom(upstream, false)) continue
      if (isDueForTrial(upstream.health, circumstancesOf(upstream))) return upstream
    }
    return undefined
  }

  function noteSign(upstream: Upstream): void {
    upstream.lastSignMs = now()
    upstream.silence.end(upstream.lastSignMs)
  }

  return {
    all,
    take() {
      const trial = dueForTrial()
      const chosen = trial ?? leastLoaded(false)
      if (chosen === undefined) throw noUpstream()
      if (!hasRoom(chosen, false)) return undefined
      occupy(chosen, false)
      const slot = { upstream: chosen, isPublic: false }
      if (trial !== undefined) trial.trial = slot
      return slot
    },
    release: vacate,
    takeForPublic() {
      const least = leastLoaded(true)
      if (least === undefined) throw noUpstream()
      if (!hasRoom(least, true)) throw publicFull()
      occupy(least, true)
      return { upstream: least, isPublic: true }
    },
    move(slot, except) {
      const other = leastLoaded(slot.isPublic, except)
      if (other === undefined || !hasRoom(other, slot.isPublic)) return false
      occupy(other, slot.isPublic)
      vacate(slot)
      slot.upstream = other
      return true
    },
    answered(upstream, isWork) {
      if (isWork) noteSign(upstream)
      if (upstream.health !== USABLE) report(upstream, { kind: 'answered', isWork })
    },
    progressed: noteSign,
    abandoned(upstream, deadlineMs) {
      const lastSignMs = now() - upstream.silence.lastsMs()
      report(upstream, { kind: 'stalled', detail: 'clients left', deadlineMs, lastSignMs })
    },
    failed(upstream, { kind, code: detail, deadlineMs, isWorkUndone }) {
      if (kind === 'unreachable') report(upstream, { kind, detail })
      if (kind === 'broken_off' && isWorkUndone && isOfTheWay(detail)) {
        report(upstream, { kind, detail })
      }
      if (kind !== 'stalled') return
      report(upstream, { kind, detail, deadlineMs, lastSignMs: upstream.lastSignMs })
    },
    onRoom: (listener) => void listeners.push(listener),
    capacity: () => all.filter(isUsable).length * maxInFlightPerUpstream,
    readiness() {
      const detail = all.flatMap((upstream) => describeEjection(upstream) ?? []).join('; ')
      if (detail === '') return { status: 'ok' }
      return { status: all.some(isUsable) ? 'ok' : 'unavailable', detail }
    },
    close() {
      for (const check of checks) check.stop()
      for (const { pool } of all) pool.close()
    },
  }
}

const loadOf = ({ inFlight, publicInFlight }: Upstream, isPublic: boolean): number =>
  isPublic ? publicInFlight : inFlight

function noUpstream(): AppError {
  return new AppError('temporarily_unavailable', 'No model server can be reached.', {
    reason: 'no_upstream',
    headers: { 'retry-after': '1' },
  })
}

function publicFull(): AppError {
  return new AppError('temporarily_unavailable', 'Too many ask without a token at once.', {
    reason: 'public_full',
    headers: { 'retry-after': '1' },
  })
}
