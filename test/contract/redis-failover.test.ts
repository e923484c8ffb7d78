import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { systemClock } from '../../src/kernel/clock.ts'
import { newClientSchema } from '../../src/registry/client.ts'
import { createRegistry } from '../../src/registry/create-registry.ts'
import { newTenantSchema } from '../../src/registry/tenant.ts'
import { REVOCATIONS } from '../../src/revocations/revocation.ts'
import { openRedisStore } from '../../src/store/redis-store.ts'
import { parseRedisUrl } from '../../src/store/redis-url.ts'
import {
  ConflictError,
  UnconfirmedWriteError,
  type Change,
  type Lifetime,
  type Store,
} from '../../src/store/store.ts'
import { hasRedisServer } from '../support/redis-binary.ts'
import { startRedisSentinel, type RedisNode, type RedisServers } from '../support/redis-server.ts'
import { waitUntil } from '../support/wait-until.ts'

const REGISTRY = { name: 'registry', layout: 'together' } as const
const REPLAY = { name: 'replay', layout: 'scattered' } as const
/** Three seconds until Sentinel believes it, the election, and our own reconnecting. */
const LONGEST_OUTAGE_MS = 15_000

describe.skipIf(!hasRedisServer)('a Redis Sentinel set that loses servers', () => {
  let servers: RedisServers
  let store: Store
  beforeAll(async () => {
    servers = await startRedisSentinel()
    store = openRedisStore({ target: parseRedisUrl(servers.url), keyPrefix: 'gatehouse:' })
  })
  afterAll(async () => {
    await store.close()
    await servers.stop()
  })

  test('a failover under load loses no acknowledged permanent write and refuses no longer than it takes', async () => {
    const [master] = servers.nodes
    const load = startLoad(store)
    await waitUntil('a first load', async () => load.acknowledged.length > 200)
    await master?.kill()
    await waitUntil('an outage', async () => load.refusedAtMs.length > 0)
    const before = load.acknowledged.length
    await waitUntil('writes again', async () => load.acknowledged.length > before + 200)
    await load.stop()

    const outageMs = (load.refusedAtMs.at(-1) ?? 0) - (load.refusedAtMs[0] ?? 0)
    expect(outageMs).toBeLessThan(LONGEST_OUTAGE_MS)
    const { records } = await store.list(REGISTRY, { limit: 100_000 })
    expect(records.map(({ id }) => id)).toEqual(expect.arrayContaining(load.acknowledged))
    expect(load.unexpected).toEqual([])
  }, 40_000)

  test('without a replica to confirm it a lasting write is a 503, and a passing one still goes through', async () => {
    const { clients, clientId } = await makeClient(store)
    for (const node of servers.nodes) {
      if ((await roleOf(node)) === 'slave') await node.kill()
    }
    await expect(store.commit(REGISTRY, [put('lonely', 'permanent')])).rejects.toMatchObject({
      code: 'temporarily_unavailable',
      status: 503,
      reason: 'redis_not_replicated',
    })
    await expect(store.commit(REGISTRY, [put('lonely', 'permanent')])).rejects.toThrow(
      ConflictError,
    )
    for (const lasting of [put('day', { ttlSeconds: 86_400 }), gone('day')]) {
      await expect(store.commit(REPLAY, [lasting])).rejects.toThrow(UnconfirmedWriteError)
    }
    const together = Array.from({ length: 8 }, (_unused, i) => put(`at once ${i}`, 'permanent'))
    const outcomes = await Promise.allSettled(together.map((each) => store.commit(REPLAY, [each])))
    // None has waited for another to give up.
    for (const outcome of outcomes) {
      expect(outcome).toMatchObject({ reason: { reason: 'redis_not_replicated' } })
    }
    await expect(clients.disable(clientId)).rejects.toThrow('It is done, but no replica')
    expect(await clients.findIssuable(clientId)).toBeUndefined()
    const revoked = (await store.read(REVOCATIONS, { limit: 10 })).map(({ value }) => value)
    expect(revoked).toContainEqual(expect.objectContaining({ kind: 'client', value: clientId }))
    await store.commit(REPLAY, [put('jti', { ttlSeconds: 60 })])
    expect(await store.get(REPLAY, 'jti')).toBeDefined()
  })
})

const put = (id: string, lifetime: Lifetime): Change => ({
  kind: 'put',
  id,
  value: { id },
  expect: 'absent',
  lifetime,
})

const gone = (id: string): Change => ({ kind: 'delete', id, expect: 'any' })

async function makeClient(store: Store) {
  const registry = createRegistry({ store, clock: systemClock, maxFailuresPerMinute: 30 })
  await registry.tenants.create(newTenantSchema.parse({ tenant_id: 'default' }))
  const { client } = await registry.clients.create(newClientSchema.parse({}))
  return { clients: registry.clients, clientId: client.client_id }
}

/** Four writers that make one permanent record after another until they are stopped. */
function startLoad(store: Store) {
  const acknowledged: string[] = []
  const refusedAtMs: number[] = []
  const unexpected: unknown[] = []
  const abort = new AbortController()
  const write = async (writer: number): Promise<void> => {
    for (let number = 0; !abort.signal.aborted; number += 1) {
      const id = `${writer}/${number}`
      try {
        await store.commit(REGISTRY, [put(id, 'permanent')])
        acknowledged.push(id)
      } catch (error) {
        refusedAtMs.push(performance.now())
        if (!(error instanceof Error && 'status' in error && error.status === 503)) {
          unexpected.push(error)
        }
        await new Promise((resolve) => setTimeout(resolve, 10))
      }
    }
  }
  const writers = Promise.all([0, 1, 2, 3].map(write))
  return {
    acknowledged,
    refusedAtMs,
    unexpected,
    stop: async () => {
      abort.abort()
      await writers
    },
  }
}

async function roleOf({ link }: RedisNode): Promise<string | undefined> {
  const info = await link.send(['info', 'replication']).catch(() => '')
  return /role:(\w+)/.exec(String(info))?.[1]
}
