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
  /** The model server with the fewest requests in flight. */
  pick: () => Upstream
  all: readonly Upstream[]
  close: () => Promise<void>
}

/** uvicorn closes an idle connection after 5 s without saying so: leave it before, not while it does. */
const IDLE_CONNECTION_MS = 4000

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
      return others.reduce(
        (least, other) => (other.inFlight < least.inFlight ? other : least),
        first,
      )
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
