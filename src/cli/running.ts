import type { Config } from '../config/schema.ts'
import type { Clock } from '../kernel/clock.ts'
import type { HttpServer } from '../kernel/http-server.ts'
import type { Log } from '../kernel/log.ts'

/** A role that serves; closing it lets running requests finish. */
export type Running = {
  close: (drainSeconds: number) => Promise<void>
  /**
   * Looks at new settings, with a ConfigError when their files are no good, and gives what takes over certificates and
   * routes. Other settings stay as they are until the next start.
   */
  prepareReload?: (config: Config) => () => void
}

export type Surroundings = { log: Log; clock: Clock }

export function runningOf(servers: readonly HttpServer[]): Running {
  return {
    async close(drainSeconds) {
      await Promise.all(servers.map((server) => server.drain(drainSeconds)))
    },
  }
}
