import { Pool } from 'undici'
import { AppError } from '../kernel/errors.ts'

/** `publicInFlight` are the requests without a caller, which take no slots. */
export type Upstream = { url: string; pool: Pool; inFlight: number; publicInFlight: number }

export type UpstreamOptions = {
  urls: readonly string[]
  maxInFlightPerUpstream: number
  connectTimeoutSeconds: number
  firstByteTimeoutSeconds: number
  idleTimeoutSeconds: number
}

/** The model servers and the slots that requests take at them: `maxInFlightPerUpstream` at each. */
export type Upstreams = {
  /**
   * Takes a slot at the least loaded model server; undefined while each of them is full. Whoever takes one gives it
   * back with `release`. AppError `temporarily_unavailable`, reason `no_upstream`, when there is none to be used.
   */
  take: (except?: ReadonlySet<Upstream>) => Upstream | undefined
  release: (upstream: Upstream) => void
  /** As `take` and `release`, beside the slots; `temporarily_unavailable`, reason `public_full`, when too many did. */
  takeForPublic: () => Upstream
  releaseFromPublic: (upstream: Upstream) => void
  /** Calls back whenever `take` may answer differently than before: after a release, for one. */
  onRoom: (listener: () => void) => void
  /** All slots, free and taken, at the model servers that may be used. */
  capacity: () => number
  all: readonly Upstream[]
  close: () => Promise<void>
}

/** uvicorn closes an idle connection after 5 s without saying so: leave it before, not while it does. */
const IDLE_CONNECTION_MS = 4000

/** A question like `GET /health` takes no time on the GPU; who asks more at once is no monitor. */
const PUBLIC_IN_FLIGHT = 8

export function createUpstreams(options: UpstreamOptions): Upstreams {
  const { maxInFlightPerUpstream } = options
  const all = options.urls.map((url): Upstream => ({
    url,
    pool: createPool(url, options),
    inFlight: 0,
    publicInFlight: 0,
  }))
  const listeners: (() => void)[] = []
  let next = 0

  /** Begins where it ended last time, so that equally loaded ones take turns. */
  function leastLoaded(except: ReadonlySet<Upstream> | undefined): Upstream | undefined {
    let least: Upstream | undefined
    for (let i = 0; i < all.length; i += 1) {
      const upstream = all[(next + i) % all.length]
      if (upstream === undefined || except?.has(upstream) === true) continue
      if (least === undefined || upstream.inFlight < least.inFlight) least = upstream
    }
    return least
  }

  return {
    all,
    take(except) {
      const least = leastLoaded(except)
      if (least === undefined) throw noUpstream()
      if (least.inFlight >= maxInFlightPerUpstream) return undefined
      least.inFlight += 1
      next = (all.indexOf(least) + 1) % all.length
      return least
    },
    release(upstream) {
      upstream.inFlight -= 1
      for (const listener of listeners) listener()
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
      next = (all.indexOf(least) + 1) % all.length
      return least
    },
    releaseFromPublic: (upstream) => void (upstream.publicInFlight -= 1),
    onRoom: (listener) => void listeners.push(listener),
    capacity: () => all.length * maxInFlightPerUpstream,
    async close() {
      await Promise.all(all.map(({ pool }) => pool.destroy()))
    },
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
