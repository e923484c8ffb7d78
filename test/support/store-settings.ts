import { settingsOnRedis } from './gatehouse.ts'
import { expectLifetimes } from './redis-lifetimes.ts'
import { startRedis } from './redis-server.ts'

/** What to set for a whole installation on that kind of store, and what takes the store away again. */
export type StoreSettings = { settings: readonly string[]; stop: () => Promise<void> }

export const sqliteSettings = async (): Promise<StoreSettings> => ({
  settings: [],
  stop: async () => undefined,
})

/** A Redis server of its own, where nothing but what must may stay for ever. */
export async function redisSettings(): Promise<StoreSettings> {
  const servers = await startRedis()
  return {
    settings: settingsOnRedis(servers.url),
    stop: () => expectLifetimes(servers).finally(servers.stop),
  }
}
