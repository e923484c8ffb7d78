import { join } from 'node:path'
import type { Config } from '../config/schema.ts'
import type { Clock } from '../kernel/clock.ts'
import { openRedisStore } from '../store/redis-store.ts'
import { parseRedisUrl } from '../store/redis-url.ts'
import { openSqliteStore } from '../store/sqlite.ts'
import type { Store } from '../store/store.ts'

/** Of everything that is kept in Redis. */
export const REDIS_KEY_PREFIX = 'gatehouse:'

/** Redis where it is configured, else one file in the data folder, which this process then has for itself. */
export async function openStore({ redis, dataDir }: Config, clock: Clock): Promise<Store> {
  if (redis.url !== undefined) {
    return openRedisStore({ target: parseRedisUrl(redis.url), keyPrefix: REDIS_KEY_PREFIX })
  }
  return openSqliteStore({ path: join(dataDir, 'gatehouse.db'), clock })
}
