import { Gauge, type Registry as MetricsRegistry } from 'prom-client'
import { epochSeconds, type Clock } from '../kernel/clock.ts'
import type { Log } from '../kernel/log.ts'
import { SECONDS_PER_DAY, type ExpiringSecret } from './expiring-secrets.ts'
import type { Clients } from './registry.ts'

export type SecretWatch = {
  /** As of the last look. */
  expiring: () => readonly ExpiringSecret[]
  look: () => Promise<void>
  stop: () => void
}

export type SecretWatchOptions = {
  clients: Pick<Clients, 'listExpiringSecrets'>
  registry: MetricsRegistry
  clock: Clock
  log: Log
}

const INTERVAL_MS = 3_600_000
const NOTICES = [
  { within: '1d', seconds: SECONDS_PER_DAY },
  { within: '7d', seconds: 7 * SECONDS_PER_DAY },
  { within: '30d', seconds: 30 * SECONDS_PER_DAY },
] as const
/** Whom to tell is in the log, a week before and a day before. */
const LOGGED = NOTICES.slice(0, 2)

/** Looks once an hour which client secrets are about to expire, counts them, and names each in the log. */
export function watchSecrets({ clients, registry, clock, log }: SecretWatchOptions): SecretWatch {
  let found: readonly ExpiringSecret[] = []
  const logged = new Set<string>()

  function mention({ clientId, secretId, expiresAt, isLast }: ExpiringSecret): void {
    const left = expiresAt - epochSeconds(clock)
    const notice = LOGGED.find(({ seconds }) => left <= seconds)
    const key = `${secretId} ${notice?.within}`
    if (notice === undefined || logged.has(key)) return
    logged.add(key)
    const what = isLast ? 'the last secret of a client expires' : 'a secret in use expires'
    const hours = Math.max(1, Math.floor(left / 3600))
    const text = `${what} in ${hours} h: ${secretId}`
    log.warn({ event: 'secret.expiring', client_id: clientId }, text)
  }

  async function look(): Promise<void> {
    found = await clients.listExpiringSecrets()
    for (const secret of found) mention(secret)
  }

  const lookAndTell = () =>
    void look().catch((error: unknown) =>
      log.warn({ event: 'secrets.unwatched', err: error }, 'cannot see which secrets expire'),
    )
  void new Gauge({
    name: 'gatehouse_client_secrets_expiring',
    help: 'Client secrets that somebody relies on and that expire within so many days',
    labelNames: ['within'],
    registers: [registry],
    collect() {
      const now = epochSeconds(clock)
      for (const { within, seconds } of NOTICES) {
        this.set({ within }, found.filter(({ expiresAt }) => expiresAt <= now + seconds).length)
      }
    },
  })
  const timer = setInterval(lookAndTell, INTERVAL_MS).unref()
  lookAndTell()
  return { expiring: () => found, look, stop: () => clearInterval(timer) }
}
