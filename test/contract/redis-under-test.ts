import { setImmediate } from 'node:timers/promises'
import { openRedisStore } from '../../src/store/redis-store.ts'
import { parseRedisUrl } from '../../src/store/redis-url.ts'
import type { RedisServers } from '../support/redis-server.ts'
import { waitUntil } from '../support/wait-until.ts'
import type { StoreUnderTest } from './store-contract.ts'

const KEY_PREFIX = 'gatehouse:'

/** Two stores, as two processes would open them, on the servers; stopping stops the servers too. */
export async function openRedisUnderTest(servers: RedisServers): Promise<StoreUnderTest> {
  const options = { target: parseRedisUrl(servers.url), keyPrefix: KEY_PREFIX }
  const [store, peer] = [openRedisStore(options), openRedisStore(options)]
  await waitUntil('a connection', async () => Boolean(await store.status()))
  return {
    store,
    peer,
    remainingMs: async (collection, id) => {
      const remaining = await Promise.all(
        servers.nodes.map(async ({ link }) =>
          Number(
            await link.send(['pttl', `${KEY_PREFIX}record:{${collection}}:${id}`]).catch(() => -2),
          ),
        ),
      )
      const found = Math.max(...remaining)
      return found === -1 ? 'permanent' : found
    },
    later: nextMillisecond,
    interrupt: async () => {
      for (const { link } of servers.nodes) await link.send(['client', 'kill', 'type', 'normal'])
    },
    stop: async () => {
      await Promise.all([store.close(), peer.close()])
      await servers.stop()
    },
  }
}

/** Of this machine, whose clock the servers share. */
async function nextMillisecond(): Promise<number> {
  const nowMs = Date.now()
  while (Date.now() <= nowMs) await setImmediate()
  return Date.now()
}
