import { listSettings } from '../config/settings.ts'
import type { Config } from '../config/schema.ts'

/** What a worker is told: what is meant for the proxy as a whole, divided, and no secret that is the issuer's alone. */
export function shareOf(config: Config): Config {
  const { workers, maxInFlightPerUpstream, queue } = config.proxy
  const { dir, rotateEveryDays, jwksMaxAgeSeconds, modulusLength } = config.keys
  return {
    ...config,
    keys: { dir, rotateEveryDays, jwksMaxAgeSeconds, modulusLength },
    proxy: {
      ...config.proxy,
      maxInFlightPerUpstream: Math.floor(maxInFlightPerUpstream / workers),
      queue: { ...queue, maxWaiting: Math.ceil(queue.maxWaiting / workers) },
    },
  }
}

/** What takes our settings out of the environment that a process inherits: a worker has its own in a message. */
export function noSettings(): Record<string, undefined> {
  const names = listSettings().flatMap(({ envName }) => [envName, `${envName}_FILE`])
  return Object.fromEntries(names.map((name) => [name, undefined]))
}
