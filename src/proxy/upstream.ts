import type { Log } from '../kernel/log.ts'
import { USABLE, type Health } from './upstream-health.ts'
import { createUpstreamPool, type UpstreamPool } from './upstream-pool.ts'
import { createWorkSilence, type WorkSilence } from './work-silence.ts'

export type Upstream = {
  readonly url: string
  readonly pool: UpstreamPool
  /** The header line that it wants, with its end. */
  readonly authorization: string
  inFlight: number
  /** The requests without a caller, which take no slots. */
  publicInFlight: number
  health: Health
  /** The one that tries it while it is ejected. */
  trial: Slot | undefined
  /** When the last byte of any answer to work came. */
  lastSignMs: number
  readonly silence: WorkSilence
}

/** The place of one request at a model server. */
export type Slot = { upstream: Upstream; readonly isPublic: boolean }

export type ServerOptions = {
  url: string
  /** Is sent as the bearer. */
  apiKey?: string | undefined
}

/** A question like `GET /health` takes no time on the GPU; who asks more at once is no monitor. */
export const PUBLIC_IN_FLIGHT = 8

type UpstreamSurroundings = {
  connectTimeoutSeconds: number
  /** Where all of them read to. */
  readBuffer?: Buffer
  now: () => number
}

export function createUpstream(
  { url, apiKey }: ServerOptions,
  { connectTimeoutSeconds, readBuffer, now }: UpstreamSurroundings,
): Upstream {
  return {
    url,
    authorization: apiKey === undefined ? '' : `authorization: Bearer ${apiKey}\r\n`,
    pool: createUpstreamPool({
      url: new URL(url),
      connectTimeoutMs: connectTimeoutSeconds * 1000,
      readBuffer,
    }),
    inFlight: 0,
    publicInFlight: 0,
    health: USABLE,
    trial: undefined,
    lastSignMs: -Infinity,
    silence: createWorkSilence(now),
  }
}

export const isUsable = ({ health }: Upstream): boolean => health.state === 'usable'

export function describeEjection({ url, health }: Upstream): string | undefined {
  return health.state === 'usable' ? undefined : `${url}: ${health.reason} (${health.detail})`
}

export function logChange(log: Log, upstream: Upstream): void {
  const { url, health } = upstream
  if (health.state === 'usable') {
    log.info({ event: 'upstream.usable', upstream: url }, 'the model server is used again')
  } else {
    const said = `the model server is not used: ${health.detail}`
    log.warn({ event: 'upstream.ejected', upstream: url, reason: health.reason }, said)
  }
}
