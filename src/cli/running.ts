import type { Clock } from '../kernel/clock.ts'
import type { HttpServer } from '../kernel/http-server.ts'
import type { Log } from '../kernel/log.ts'

/** A role that serves; closing it lets running requests finish. */
export type Running = { close: (drainSeconds: number) => Promise<void> }

export type Surroundings = { log: Log; clock: Clock }

export function runningOf(servers: readonly HttpServer[]): Running {
  return {
    async close(drainSeconds) {
      await Promise.all(servers.map((server) => server.drain(drainSeconds)))
    },
  }
}
