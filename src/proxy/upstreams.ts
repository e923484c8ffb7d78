import { Pool } from 'undici'
import { AppError } from '../kernel/errors.ts'
import type { Log } from '../kernel/log.ts'
import type { CheckResult } from '../kernel/ops-server.ts'
import { startUpstreamChecks, type CheckVerdict } from './upstream-checks.ts'
import type { UpstreamFailure } from './upstream-failure.ts'
import {
  isDueForTrial,
  nextHealth,
  TRIAL_AFTER_MS,
  USABLE,
  type Health,
  type Observation,
} from './upstream-health.ts'

export type Upstream = {
  readonly url: string
  readonly pool: Pool
  inFlight: number
  /** The requests without a caller, which take no slots. */
  publicInFlight: number
  health: Health
  /** When the last byte of any answer to work came. */
  lastSignMs: number
}

export type UpstreamOptions = {
  urls: readonly string[]
  maxInFlightPerUpstream: number
  connectTimeoutSeconds: number
  firstByteTimeoutSeconds: number
  idleTimeoutSeconds: number
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
  take: (except?: ReadonlySet<Upstream>) => Upstream | undefined
  release: (upstream: Upstream) => void
  /** As `take` and `release`, beside the slots; `temporarily_unavailable`, reason `public_full`, when too many did. */
  takeForPublic: () => Upstream
  releaseFromPublic: (upstream: Upstream) => void
  /** An answer has begun to come from it. Only one to a request that gave it `work` says that it makes progress. */
  answered: (upstream: Upstream, isWork: boolean) => void
  /** More of an answer to `work` has come. */
  progressed: (upstream: Upstream) => void
  /** An exchange with it has failed. */
  failed: (upstream: Upstream, failure: Pick<UpstreamFailure, 'kind' | 'code'>) => void
  /** Calls back whenever `take` may answer differently than before: after a release, or when one comes or goes. */
  onRoom: (listener: () => void) => void
  /** All slots, free and taken, at the model servers that may be used. */
  capacity: () => number
  readiness: () => CheckResult
  all: readonly Upstream[]
  close: () => Promise<void>
}

/** uvicorn closes an idle connection after 5 s without saying so: leave it before, not while it does. */
const IDLE_CONNECTION_MS = 4000

/** A question like `GET /health` takes no time on the GPU; who asks more at once is no monitor. */
const PUBLIC_IN_FLIGHT = 8

/** How many checks in a row an idle server may leave unanswered: one that is at work may not come to it. */
const SILENT_CHECKS = 3

const isUsable = ({ health }: Upstream): boolean => health.state === 'usable'

export function createUpstreams(options: UpstreamOptions): Upstreams {
  const { maxInFlightPerUpstream, healthCheck, log, now = () => performance.now() } = options
  const all = options.urls.map((url): Upstream => ({
    url,
    pool: createPool(url, options),
    inFlight: 0,
    publicInFlight: 0,
    health: USABLE,
    lastSignMs: -Infinity,
  }))
  const firstByteMs = options.firstByteTimeoutSeconds * 1000
  const idleMs = options.idleTimeoutSeconds * 1000
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
    if (after.state === 'ejected' && seen.kind !== 'trial_begins' && after !== before) {
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
          const judge = createCheckJudge(upstream, report)
          return startUpstreamChecks(upstream.url, { ...options, ...healthCheck }, judge)
        })

  /** Begins where it ended last time, so that equally loaded ones take turns. */
  function leastLoaded(except: ReadonlySet<Upstream> | undefined): Upstream | undefined {
    let least: Upstream | undefined
    for (let i = 0; i < all.length; i += 1) {
      const upstream = all[(turn + i) % all.length]
      if (upstream === undefined || except?.has(upstream) === true) continue
      if (!isUsable(upstream)) continue
      if (least === undefined || upstream.inFlight < least.inFlight) least = upstream
    }
    return least
  }

  function dueForTrial(): Upstream | undefined {
    return all.find(
      (upstream) =>
        !isUsable(upstream) &&
        upstream.inFlight < maxInFlightPerUpstream &&
        isDueForTrial(upstream.health, circumstancesOf(upstream)),
    )
  }

  return {
    all,
    take(except) {
      // A request that has failed once already tries nothing doubtful.
      const trial = except === undefined ? dueForTrial() : undefined
      const chosen = trial ?? leastLoaded(except)
      if (chosen === undefined) throw noUpstream()
      if (chosen.inFlight >= maxInFlightPerUpstream) return undefined
      chosen.inFlight += 1
      if (trial === undefined) turn = (all.indexOf(chosen) + 1) % all.length
      else report(trial, { kind: 'trial_begins' })
      return chosen
    },
    release(upstream) {
      upstream.inFlight -= 1
      if (!isUsable(upstream)) report(upstream, { kind: 'released' })
      tellListeners()
    },
    answered(upstream, isWork) {
      if (isWork) upstream.lastSignMs = now()
      if (!isUsable(upstream)) report(upstream, { kind: 'answered', isWork })
    },
    progressed(upstream) {
      upstream.lastSignMs = now()
    },
    failed(upstream, { kind, code }) {
      if (kind === 'unreachable') report(upstream, { kind, detail: code })
      if (kind !== 'stalled') return
      const deadlineMs = code === 'UND_ERR_HEADERS_TIMEOUT' ? firstByteMs : idleMs
      report(upstream, { kind, detail: code, deadlineMs, lastSignMs: upstream.lastSignMs })
    },
    takeForPublic() {
      const least = leastLoaded(undefined)
      if (least === undefined) throw noUpstream()
      if (least.publicInFlight >= PUBLIC_IN_FLIGHT) {
        throw new AppError('temporarily_unavailable', 'Too many ask without a token at once.', {
          reason: 'public_full',
          headers: { 'retry-after': '1' },
        })
      }
      least.publicInFlight += 1
      turn = (all.indexOf(least) + 1) % all.length
      return least
    },
    releaseFromPublic: (upstream) => void (upstream.publicInFlight -= 1),
    onRoom: (listener) => void listeners.push(listener),
    capacity: () => all.filter(isUsable).length * maxInFlightPerUpstream,
    readiness() {
      const detail = all.flatMap((upstream) => describeEjection(upstream) ?? []).join('; ')
      if (detail === '') return { status: 'ok' }
      return { status: all.some(isUsable) ? 'ok' : 'unavailable', detail }
    },
    async close() {
      await Promise.all([
        ...checks.map((check) => check.stop()),
        ...all.map(({ pool }) => pool.destroy()),
      ])
    },
  }
}

/** Turns what checks find into what it means; says whether the server is usable then. */
function createCheckJudge(
  upstream: Upstream,
  report: (upstream: Upstream, seen: Observation) => void,
): (verdict: CheckVerdict) => boolean {
  let silences = 0
  return (verdict) => {
    const isSilent = verdict.kind === 'check_silent'
    // A server that works on a request in its only thread answers afterwards.
    silences = isSilent && upstream.inFlight === 0 ? silences + 1 : 0
    if (verdict.kind !== 'check_silent') report(upstream, verdict)
    else if (silences >= SILENT_CHECKS) {
      report(upstream, { kind: 'check_failed', detail: 'no answer to its checks' })
    }
    return isUsable(upstream)
  }
}

function describeEjection({ url, health }: Upstream): string | undefined {
  return health.state === 'usable' ? undefined : `${url}: ${health.reason} (${health.detail})`
}

function logChange(log: Log, upstream: Upstream): void {
  const { url, health } = upstream
  if (health.state === 'usable') {
    log.info({ event: 'upstream.usable', upstream: url }, 'the model server is used again')
  } else {
    const said = `the model server is not used: ${health.detail}`
    log.warn({ event: 'upstream.ejected', upstream: url, reason: health.reason }, said)
  }
}

function noUpstream(): AppError {
  return new AppError('temporarily_unavailable', 'No model server can be reached.', {
    reason: 'no_upstream',
    headers: { 'retry-after': '1' },
  })
}

function createPool(url: string, options: UpstreamOptions): Pool {
  return new Pool(url, {
    connections: options.maxInFlightPerUpstream + PUBLIC_IN_FLIGHT,
    pipelining: 1,
    connect: { timeout: options.connectTimeoutSeconds * 1000 },
    headersTimeout: options.firstByteTimeoutSeconds * 1000,
    bodyTimeout: options.idleTimeoutSeconds * 1000,
    keepAliveTimeout: IDLE_CONNECTION_MS,
  })
}
