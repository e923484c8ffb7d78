import { join } from 'node:path'
import { Gauge, type Registry } from 'prom-client'
import type { Config } from '../config/schema.ts'
import type { CheckResult } from '../kernel/ops-server.ts'
import { keepDays } from '../proxy/kept-days.ts'
import { createLimits, type Limits } from '../proxy/limits.ts'
import { describeModes, type OutageModes } from '../proxy/outage-modes.ts'
import { createSharedCounters } from '../proxy/shared-counters.ts'
import { createMemoryCounters } from '../store/memory-counters.ts'
import { openRedisCounters } from '../store/redis-counters.ts'
import { parseRedisUrl } from '../store/redis-url.ts'
import { REDIS_KEY_PREFIX } from './open-store.ts'
import type { Surroundings } from './running.ts'

export type ProxyLimits = {
  limits: Limits
  readiness: () => CheckResult
  reload: (settings: Config['limits']) => void
  close: () => Promise<void>
}

/** A request waits for it once, when Redis goes silent; then nobody does. */
const REDIS_DEADLINE_MS = 1000

/** Where the limits of this proxy's callers are counted: with all others in Redis, else alone. */
export async function openProxyLimits(
  { dataDir, limits, redis }: Config,
  { log, clock }: Surroundings,
  registry: Registry,
): Promise<ProxyLimits> {
  const local = createMemoryCounters(clock)
  let isDegraded = () => false
  void new Gauge({
    name: 'gatehouse_limits_degraded',
    help: 'Whether limits cannot be counted with the other proxies',
    registers: [registry],
    collect() {
      this.set(isDegraded() ? 1 : 0)
    },
  })
  if (redis.url === undefined) {
    const kept = await keepDays(join(dataDir, 'limits.json'), local, log)
    const alone = createLimits(kept, limits.defaults)
    return {
      limits: alone,
      readiness: () => ({ status: 'ok' }),
      reload: ({ defaults }) => alone.setDefaults(defaults),
      close: kept.close,
    }
  }
  const redisCounters = openRedisCounters({
    target: parseRedisUrl(redis.url),
    keyPrefix: REDIS_KEY_PREFIX,
    deadlineMs: REDIS_DEADLINE_MS,
  })
  let modes: OutageModes = limits
  const counters = createSharedCounters({ shared: redisCounters, local, modes, log })
  isDegraded = counters.isDegraded
  const together = createLimits(counters, limits.defaults)
  return {
    limits: together,
    readiness() {
      if (!counters.isDegraded()) return { status: 'ok' }
      const status = modes.onFailure === 'refuse' ? 'unavailable' : 'ok'
      return {
        status,
        detail: `Redis does not answer, limits.onFailure is ${describeModes(modes)}`,
      }
    },
    reload(next) {
      together.setDefaults(next.defaults)
      modes = next
      counters.setModes(modes)
    },
    async close() {
      await counters.close()
      redisCounters.close()
    },
  }
}
