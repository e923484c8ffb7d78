import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Clock } from '../../src/kernel/clock.ts'
import { openRedisStore } from '../../src/store/redis-store.ts'
import { parseRedisUrl } from '../../src/store/redis-url.ts'
import { openSqliteStore } from '../../src/store/sqlite.ts'
import type { Store } from '../../src/store/store.ts'
import { expectLifetimes } from './redis-lifetimes.ts'
import { startRedis } from './redis-server.ts'
import { waitUntil } from './wait-until.ts'
import { createMemoryFolder } from './memory-folder.ts'

/** A store for one test file, and what takes it away again. */
export type OpenedStore = { store: Store; stop: () => Promise<void> }

export async function openTestSqlite(clock: Clock): Promise<OpenedStore> {
  const folder = await createMemoryFolder()
  const store = await openSqliteStore({ path: join(folder, 'gatehouse.db'), clock })
  return {
    store,
    stop: async () => {
      await store.close()
      await rm(folder, { recursive: true })
    },
  }
}

/** On a `redis-server` of its own, where nothing but what must may stay for ever. */
export async function openTestRedis(): Promise<OpenedStore> {
  const servers = await startRedis()
  const store = openRedisStore({ target: parseRedisUrl(servers.url), keyPrefix: 'gatehouse:' })
  await waitUntil('a connection', async () => Boolean(await store.status()))
  return {
    store,
    stop: async () => {
      await store.close()
      await expectLifetimes(servers).finally(servers.stop)
    },
  }
}
