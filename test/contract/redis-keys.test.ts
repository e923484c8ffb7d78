import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { z } from 'zod'
import { parseRedisUrl } from '../../src/store/redis-url.ts'
import { openRedisStore } from '../../src/store/redis-store.ts'
import type { Change, Lifetime, Store } from '../../src/store/store.ts'
import { hasRedisServer } from '../support/redis-binary.ts'
import { startRedis, type RedisServers } from '../support/redis-server.ts'

const REGISTRY = { name: 'registry', layout: 'together' } as const
const GRANT = { name: 'grant/1', layout: 'together' } as const
const REPLAY = { name: 'replay', layout: 'scattered' } as const
const JOURNAL = { name: 'revocations', retentionSeconds: 1860 }

describe.skipIf(!hasRedisServer)('what the store leaves in Redis', () => {
  let servers: RedisServers
  let store: Store
  beforeAll(async () => {
    servers = await startRedis()
    store = openRedisStore({ target: parseRedisUrl(servers.url), keyPrefix: 'gatehouse:' })
  })
  afterAll(async () => {
    await store.close()
    await servers.stop()
  })

  const ask = async (...command: [string, ...(string | number)[]]) =>
    servers.nodes[0]?.link.send(command)

  test('nothing is without a TTL but permanent records and the index that lists them', async () => {
    await ask('flushall')
    await store.commit(REGISTRY, [put('client/a', 'permanent'), put('key/1', { ttlSeconds: 60 })])
    await store.commit(REGISTRY, [put('user/gone', 'permanent')])
    await store.commit(REGISTRY, [{ kind: 'delete', id: 'user/gone', expect: 'any' }])
    await store.commit(GRANT, [put('token/1', { ttlSeconds: 60 })])
    await store.commit(GRANT, [put('token/2', { ttlSeconds: 600 })])
    await store.commit(GRANT, [put('token/3', { ttlSeconds: 6 })])
    await store.commit(REPLAY, [put('jti', { ttlSeconds: 60 })])
    await store.append(JOURNAL, { kind: 'jti' })

    const keys = z.array(z.string()).parse(await ask('keys', '*'))
    const lifetimes = await Promise.all(
      keys.map(async (key): Promise<[string, number]> => [key, Number(await ask('pttl', key))]),
    )
    const permanent = lifetimes.filter(([, ttlMs]) => ttlMs === -1).map(([key]) => key)
    expect(permanent.sort()).toEqual([
      'gatehouse:expiry:{registry}',
      'gatehouse:index:{registry}',
      'gatehouse:record:{registry}:client/a',
    ])
    expect(keys).toHaveLength(11)
    const indexTtlMs = new Map(lifetimes).get('gatehouse:index:{grant/1}')
    expect(indexTtlMs).toBeGreaterThan(590_000)
    expect(indexTtlMs).toBeLessThanOrEqual(600_000)
  })

  test('the index forgets records that have expired, a few with each commit', async () => {
    await store.commit(GRANT, [put('old', { ttlSeconds: 600 })])
    await ask('del', 'gatehouse:record:{grant/1}:old')
    await ask('zadd', 'gatehouse:expiry:{grant/1}', 1, 'old')
    expect((await store.list(GRANT, { limit: 10 })).records.map(({ id }) => id)).not.toContain(
      'old',
    )
    await store.commit(GRANT, [put('new', { ttlSeconds: 600 })])
    expect(await ask('zscore', 'gatehouse:index:{grant/1}', 'old')).toBeNull()
    expect(await ask('zscore', 'gatehouse:expiry:{grant/1}', 'old')).toBeNull()
  })

  test('an append drops the entries that are older than the retention', async () => {
    const journal = { name: 'aged', retentionSeconds: 1860 }
    const ago = (seconds: number) => `${Date.now() - seconds * 1000}-0`
    await ask('xadd', 'gatehouse:journal:{aged}', ago(1861), 'json', '"too old"')
    await ask('xadd', 'gatehouse:journal:{aged}', ago(1800), 'json', '"old"')
    await store.append(journal, 'new')
    const entries = await store.read(journal, { limit: 10 })
    expect(entries.map(({ value }) => value)).toEqual(['old', 'new'])
    const ttlMs = Number(await ask('pttl', 'gatehouse:journal:{aged}'))
    expect(ttlMs).toBeGreaterThan(1_850_000)
    expect(ttlMs).toBeLessThanOrEqual(1_860_000)
  })

  test('scripts that Redis forgot are sent again', async () => {
    await ask('script', 'flush')
    await store.commit(REPLAY, [put('after-flush', { ttlSeconds: 60 })])
    expect(await store.get(REPLAY, 'after-flush')).toBeDefined()
  })

  test('status warns of evictions and of what a restart would lose', async () => {
    await ask('config', 'set', 'maxmemory', '100mb', 'maxmemory-policy', 'allkeys-lru')
    const { warnings } = await store.status()
    expect(warnings.join('\n')).toMatch(/allkeys-lru[^]*appendonly/)
    await ask('config', 'set', 'maxmemory', '0', 'maxmemory-policy', 'noeviction')
  })

  test('a wrong password fails in time, says so in the log and is not shown', async () => {
    await ask('config', 'set', 'requirepass', 'right')
    const url = (servers.nodes[0]?.url ?? '').replace('redis://', 'redis://:wr0ng@')
    const wrong = openRedisStore({ target: parseRedisUrl(url), keyPrefix: '', deadlineMs: 300 })
    const refusal: unknown = await wrong.get(REPLAY, 'a').catch((error: unknown) => error)
    expect(refusal).toMatchObject({ code: 'temporarily_unavailable', reason: 'redis_WRONGPASS' })
    expect(JSON.stringify(refusal)).not.toContain('wr0ng')
    await wrong.close()
    await ask('config', 'set', 'requirepass', '')
  })

  test('with no Redis every call ends in a 503 within its deadline, and a follower waits', async () => {
    const target = parseRedisUrl('redis://127.0.0.1:1')
    const absent = openRedisStore({ target, keyPrefix: '', deadlineMs: 100 })
    const abort = new AbortController()
    const follower = absent.follow(JOURNAL, { signal: abort.signal })[Symbol.asyncIterator]()
    const first = follower.next()
    const refused = { code: 'temporarily_unavailable', reason: 'redis_ECONNREFUSED' }
    await expect(absent.get(REPLAY, 'a')).rejects.toMatchObject(refused)
    await expect(absent.commit(REGISTRY, [put('a', 'permanent')])).rejects.toMatchObject(refused)
    await expect(absent.append(JOURNAL, 1)).rejects.toMatchObject(refused)
    await expect(absent.status()).rejects.toMatchObject(refused)
    abort.abort()
    expect((await first).done).toBe(true)
    await absent.close()
  })
})

const put = (id: string, lifetime: Lifetime): Change => ({
  kind: 'put',
  id,
  value: { id },
  expect: 'any',
  lifetime,
})
