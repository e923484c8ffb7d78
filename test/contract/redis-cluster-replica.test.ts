import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openRedisStore } from '../../src/store/redis-store.ts'
import { parseRedisUrl } from '../../src/store/redis-url.ts'
import type { Change, Store } from '../../src/store/store.ts'
import { hasRedisServer } from '../support/redis-binary.ts'
import {
  addClusterReplica,
  startRedisCluster,
  type RedisNode,
  type RedisServers,
} from '../support/redis-server.ts'

const REGISTRY = { name: 'registry', layout: 'together' } as const

describe.skipIf(!hasRedisServer)('a Redis Cluster with a replica', () => {
  let servers: RedisServers
  let store: Store
  let slot = 0
  let owner: RedisNode
  let other: RedisNode
  beforeAll(async () => {
    servers = await startRedisCluster()
    const [first, second, third] = servers.nodes
    if (first === undefined || second === undefined || third === undefined) throw new Error('none')
    slot = Number(await first.link.send(['cluster', 'keyslot', '{registry}']))
    owner = [first, second, third][Math.floor((slot * 3) / 16_384)] ?? first
    other = owner === first ? second : first
    servers = await addClusterReplica(servers, other)
    store = openRedisStore({ target: parseRedisUrl(servers.url), keyPrefix: 'gatehouse:' })
  })
  afterAll(async () => {
    await store.close()
    await servers.stop()
  })

  test('a permanent write goes to the replica of its own master, also when its slot has just moved there', async () => {
    await expect(store.commit(REGISTRY, [put('unconfirmed')])).rejects.toMatchObject({
      reason: 'redis_not_replicated',
    })
    await store
      .commit(REGISTRY, [{ kind: 'delete', id: 'unconfirmed', expect: 'any' }])
      .catch(String)
    const otherId = String(await other.link.send(['cluster', 'myid']))
    for (const { link } of [other, owner]) {
      await link.send(['cluster', 'setslot', slot, 'node', otherId])
    }
    const version = await store.commit(REGISTRY, [put('confirmed')])
    expect((await store.get(REGISTRY, 'confirmed'))?.version).toBe(version)
    const { records } = await store.list(REGISTRY, { limit: 10 })
    expect(records.map(({ id }) => id)).toEqual(['confirmed'])
  })
})

const put = (id: string): Change => ({
  kind: 'put',
  id,
  value: { id },
  expect: 'absent',
  lifetime: 'permanent',
})
