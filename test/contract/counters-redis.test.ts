import * as fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createMemoryCounters } from '../../src/store/memory-counters.ts'
import { openRedisCounters } from '../../src/store/redis-counters.ts'
import { parseRedisUrl } from '../../src/store/redis-url.ts'
import { hasRedisServer } from '../support/redis-binary.ts'
import { expectLifetimes, readLifetimes } from '../support/redis-lifetimes.ts'
import { startRedis, startRedisCluster, type RedisServers } from '../support/redis-server.ts'
import { describeCounters, freshAccounts, type CountersUnderTest } from './counters-contract.ts'

describe.skipIf(!hasRedisServer).each([
  ['one Redis', startRedis],
  ['a Redis Cluster', startRedisCluster],
])('counters on %s', (_title, start) => {
  const time = { now: Date.now() }
  let servers: RedisServers
  let opened: ReturnType<typeof openRedisCounters>[]
  let underTest: CountersUnderTest
  beforeAll(async () => {
    servers = await start()
    const options = {
      target: parseRedisUrl(servers.url),
      keyPrefix: 'gatehouse:',
      deadlineMs: 2000,
    }
    const [one, two, real] = [
      openRedisCounters({ ...options, clock: () => time.now }),
      openRedisCounters({ ...options, clock: () => time.now }),
      openRedisCounters(options),
    ]
    opened = [one, two, real]
    underTest = { counters: one, peer: two, time }
  })
  afterAll(async () => {
    for (const each of opened) each.close()
    await expectLifetimes(servers).finally(servers.stop)
  })

  describeCounters(() => underTest)

  test('a place that nobody renews is free after a minute, and one that is renewed is not', async () => {
    const [counters] = opened
    const of = freshAccounts({ concurrency: 2 })
    time.now = Date.now()
    await counters?.enter(of, 'killed')
    await counters?.enter(of, 'running')
    time.now += 40_000
    await counters?.renew(of, 'running')
    expect(await counters?.enter(of, 'third')).toMatchObject({ isLetIn: false })
    time.now += 30_000
    expect(await counters?.enter(of, 'third')).toMatchObject({ isLetIn: true })
    expect(await counters?.enter(of, 'fourth')).toMatchObject({ isLetIn: false })
  })

  test('a clock that is put back keeps a place of the killed no longer than a minute from then', async () => {
    const [counters] = opened
    const of = freshAccounts({ concurrency: 2 }, { daily_tokens: 5000 })
    time.now = Date.now()
    await counters?.enter(of, 'killed')
    await counters?.enter(of, 'running')
    time.now -= 3_600_000
    expect(await counters?.enter(of, 'third')).toMatchObject({ isLetIn: false })
    time.now += 40_000
    await counters?.renew(of, 'running')
    time.now += 20_001
    expect(await counters?.enter(of, 'third')).toMatchObject({ isLetIn: true })
    expect(await counters?.enter(of, 'fourth')).toMatchObject({ isLetIn: false })
  })

  test('the time is that of the server, and every key ends when it no longer counts', async () => {
    const [, , counters] = opened
    const before = new Set((await readLifetimes(servers)).keys())
    const of = freshAccounts({ rpm: 5, concurrency: 5, daily_requests: 5, daily_tokens: 5 })
    const proof = { id: 'a proof', ttlSeconds: 300 }
    const entered = await counters?.enter(of, 'one', proof)
    expect(Math.abs((entered?.atMs ?? 0) - Date.now())).toBeLessThan(5000)
    const lives = [...(await readLifetimes(servers))].filter(([key]) => !before.has(key))
    const midnightInMs = 86_400_000 - (Date.now() % 86_400_000)
    expect(lives).toHaveLength(4)
    for (const [key, ttlMs] of lives) {
      const longest = key.includes(':used:')
        ? 300_000
        : key.includes(':day:')
          ? midnightInMs + 61_000
          : 61_000
      expect([key, ttlMs > longest - 5000 && ttlMs <= longest]).toEqual([key, true])
    }
    const served = { tokens: 4, wasServed: true, enteredAtMs: Date.now() }
    await counters?.leave(of, 'one', served)
    const [, ttlMs = 0] =
      [...(await readLifetimes(servers))].find(
        ([key]) => key.includes(':day:') && !before.has(key),
      ) ?? []
    // Its mean is of use for one more day.
    expect(Math.abs(ttlMs - midnightInMs - 86_400_000 - 60_000)).toBeLessThan(6000)
  })

  test('always say the same as those in memory', async () => {
    const quota = fc.oneof(
      fc.record({
        rpm: fc.integer({ min: 1, max: 6 }),
        daily_requests: fc.integer({ min: 1, max: 9 }),
      }),
      fc.record({
        concurrency: fc.integer({ min: 1, max: 3 }),
        daily_tokens: fc.integer({ min: 1, max: 20_000 }),
      }),
    )
    const step = fc.record({
      moves: fc.oneof(fc.nat(70_000), fc.nat(900)),
      tokens: fc.option(fc.nat(9000), { nil: undefined }),
      wasServed: fc.boolean(),
      wasEnteredElsewhere: fc.boolean(),
      isCut: fc.boolean(),
      isEnd: fc.boolean(),
    })
    await fc.assert(
      fc.asyncProperty(
        fc.array(quota, { minLength: 1, maxLength: 3 }),
        fc.array(step, { minLength: 5, maxLength: 40 }),
        async (quotas, steps) => {
          const of = freshAccounts(...quotas)
          const memory = createMemoryCounters(() => time.now)
          // Places in memory do not end by themselves.
          const isLeased = of.accounts.some(({ quota: each }) => 'concurrency' in each)
          const running: string[] = []
          const said: [there: unknown, here: unknown][] = []
          // Some of it is before midnight.
          time.now = Date.UTC(2031, 4, 17) - 9000
          for (const [i, { moves, isEnd, ...how }] of steps.entries()) {
            time.now += isLeased ? moves % 1000 : moves
            const oldest = isEnd ? running.shift() : undefined
            if (oldest === undefined) {
              const entered = memory.enter(of, `${i}`)
              said.push([await underTest.counters.enter(of, `${i}`), entered])
              if (entered.isLetIn) running.push(`${i}`)
            } else {
              const left = { ...how, enteredAtMs: time.now }
              memory.leave(of, oldest, left)
              await underTest.peer.leave(of, oldest, left)
              said.push([await underTest.counters.read(of), memory.read(of)])
            }
          }
          expect(said.map(([there]) => there)).toEqual(said.map(([, here]) => here))
        },
      ),
      { numRuns: 50 },
    )
  })

  test('what a name holds is not in a key', async () => {
    const of = { tenant: '{a}b', accounts: [{ id: 'secret:{x}', quota: { rpm: 1 } }] }
    await underTest.counters.enter(of, 'one', { id: 'secret:{y}', ttlSeconds: 1 })
    expect([...(await readLifetimes(servers)).keys()].join()).not.toMatch(/secret|\{a\}/)
  })
})
