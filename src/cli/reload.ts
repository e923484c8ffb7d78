import { isDeepStrictEqual } from 'node:util'
import { listSettings, valueOf } from '../config/settings.ts'
import type { Config } from '../config/schema.ts'
import { ConfigError } from '../kernel/errors.ts'
import type { Log } from '../kernel/log.ts'
import { LIMIT_NAMES } from '../store/counters.ts'
import { withRenewable } from './live-certificates.ts'
import type { Running } from './running.ts'
import type { LoadedConfig } from './settings-of.ts'

/** What a running program takes over; whatever else has changed waits for the next start. */
const TAKEN_OVER = new Set([
  'log.level',
  'trustedCa',
  'proxy.routes',
  'proxy.maxBodyBytes',
  'proxy.firstByteTimeoutSeconds',
  'proxy.idleTimeoutSeconds',
  'limits.onFailure',
  ...LIMIT_NAMES.flatMap((name) => [`limits.defaults.${name}`, `limits.onFailureOf.${name}`]),
])
const CERTIFICATE = /^(issuer|admin|proxy)\.tls\.(cert|key|clientCa)$/

/** Whether a running program can take a change of this setting over. */
export const isReloadable = (path: string): boolean =>
  TAKEN_OVER.has(path) || CERTIFICATE.test(path)

export type ReloadOptions = {
  started: Config
  /** Reads the settings anew; a ConfigError when something is wrong with them. */
  read: () => LoadedConfig
  running: Pick<Running, 'prepareReload'>
  log: Log
}

/**
 * Gives what a SIGHUP does: it takes over certificates, routes, limits and the log level from settings that are good as a whole,
 * and says in the log what it took and what has to wait. Of settings that are not good it says why, and changes nothing.
 */
export function createReload({ started, read, running, log }: ReloadOptions): () => void {
  let current = started
  return function reload() {
    try {
      const { config, warnings } = read()
      const take = running.prepareReload?.(config)
      for (const warning of warnings) log.warn({ event: 'config.warning' }, warning)
      take?.()
      // Whoever asked sees the answer, whatever the level was and will be.
      log.setLevel('info')
      log.info({ event: 'config.reloaded' }, describe(current, config, started))
      log.setLevel(config.log.level)
      current = config
    } catch (error) {
      const why = error instanceof ConfigError ? error.problems.join('; ') : 'an unexpected error'
      log.error({ event: 'config.refused', err: error }, `nothing was reloaded: ${why}`)
    }
  }
}

function describe(before: Config, now: Config, started: Config): string {
  const paths = listSettings().map(({ path }) => path)
  const differs = (path: string, from: Config) =>
    !isDeepStrictEqual(valueOf(now, path), valueOf(from, path))
  const taken = paths.filter((path) => TAKEN_OVER.has(path) && differs(path, before))
  const waiting = paths.filter((path) => !isTakenOver(path, started, now) && differs(path, started))
  return [
    ['certificates', ...taken].join(', ').concat(' reloaded'),
    ...(waiting.length > 0 ? [`only a restart changes ${waiting.join(', ')}`] : []),
  ].join('; ')
}

/** A listener with TLS can change its certificate, and whose certificates it asks for; one without cannot begin to. */
export function isTakenOver(path: string, started: Config, now: Config): boolean {
  const [, role, file] = CERTIFICATE.exec(path) ?? []
  if (role !== 'issuer' && role !== 'admin' && role !== 'proxy') return TAKEN_OVER.has(path)
  const name = file === 'clientCa' ? file : 'cert'
  return started[role].tls[name] !== undefined && now[role].tls[name] !== undefined
}

/** What runs after a reload: the settings that were there at the start, with those that are taken over. */
export function reloadedConfig(started: Config, next: Config): Config {
  const { routes, maxBodyBytes, firstByteTimeoutSeconds, idleTimeoutSeconds } = next.proxy
  return {
    ...started,
    log: next.log,
    trustedCa: next.trustedCa,
    limits: next.limits,
    proxy: {
      ...started.proxy,
      routes,
      maxBodyBytes,
      firstByteTimeoutSeconds,
      idleTimeoutSeconds,
      tls: withRenewable(started, next, 'proxy').proxy.tls,
    },
  }
}
