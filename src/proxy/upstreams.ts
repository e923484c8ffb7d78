import { Pool } from 'undici'
import { AppError } from '../kernel/errors.ts'

export type Upstream = { url: string; pool: Pool; inFlight: number }

export type UpstreamOptions = {
  urls: readonly string[]
  maxInFlightPerUpstream: number
  connectTimeoutSeconds: number
  firstByteTimeoutSeconds: number
  idleTimeoutSeconds: number
}

export type Upstreams = {
  /** The model server with the fewest requests in flight; `temporarily_unavailable` when all have too many. */
  pick: () => Upstream
  all: readonly Upstream[]
  close: () => Promise<void>
}

/** uvicorn closes an idle connection after 5 s without saying so: leave it before, not while it does. */
const IDLE_CONNECTION_MS = 4000

/** How many requests may wait for each that runs: beyond, a wait would be longer than a caller's patience. */
const WAITING_PER_SLOT = 1

export function createUpstreams(options: UpstreamOptions): Upstreams {
  const all = options.urls.map((url): Upstream => ({
    url,
    pool: createPool(url, options),
    inFlight: 0,
  }))
  return {
    all,
    pick() {
      const [first, ...others] = all
      if (first === undefined) throw new AppError('temporarily_unavailable', 'No model server.')
      const least = others.reduce((a, b) => (b.inFlight < a.inFlight ? b : a), first)
      if (least.inFlight < options.maxInFlightPerUpstream * (1 + WAITING_PER_SLOT)) return least
      throw new AppError('temporarily_unavailable', 'The model server has too much to do.', {
        reason: 'upstreams_full',
        headers: { 'retry-after': '1' },
      })
    },
    async close() {
      await Promise.all(all.map(({ pool }) => pool.destroy()))
    },
  }
}

function createPool(url: string, options: UpstreamOptions): Pool {
  return new Pool(url, {
    connections: options.maxInFlightPerUpstream,
    pipelining: 1,
    connect: { timeout: options.connectTimeoutSeconds * 1000 },
    headersTimeout: options.firstByteTimeoutSeconds * 1000,
    bodyTimeout: options.idleTimeoutSeconds * 1000,
    keepAliveTimeout: IDLE_CONNECTION_MS,
  })
}
