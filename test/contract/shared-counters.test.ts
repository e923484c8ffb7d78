import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import { createLog } from '../../src/kernel/log.ts'
import { createSharedCounters } from '../../src/proxy/shared-counters.ts'
import { createMemoryCounters } from '../../src/store/memory-counters.ts'
import { openRedisCounters } from '../../src/store/redis-counters.ts'
import { parseRedisUrl } from '../../src/store/redis-url.ts'
import { freshAccounts } from './counters-contract.ts'
import { hasRedisServer } from '../support/redis-binary.ts'
import { startRedis, type RedisServers } from '../support/redis-server.ts'
import { waitUntil } from '../support/wait-until.ts'

describe.skipIf(!hasRedisServer)('counters that are shared', () => {
  let servers: RedisServers
  beforeAll(async () => {
    servers = await startRedis()
  })
  afterAll(() => servers.stop())
  const logged: string[] = []
  beforeEach(() => void logged.splice(0))

  const ask = async (...command: [string, ...(string | number)[]]) =>
    servers.nodes[0]?.link.send(command)
  /** Redis refuses at once what counts. */
  const takeAway = () => ask('acl', 'setuser', 'default', '-@scripting')
  const giveBack = () => ask('acl', 'setuser', 'default', '+@scripting')

  /** One more proxy. */
  function join(onFailure: 'local' | 'refuse' | 'continue' = 'local') {
    const shared = openRedisCounters({
      target: parseRedisUrl(servers.url),
      keyPrefix: 'gatehouse:',
      deadlineMs: 300,
    })
    const write = (line: () => string) => void logged.push(line())
    const counters = createSharedCounters({
      shared,
      local: createMemoryCounters(Date.now),
      modes: { onFailure },
      log: createLog('info', { write }),
      probeIntervalMs: 20,
    })
    onTestFinished(async () => {
      await counters.close()
      shared.close()
    })
    return counters
  }
  const served = (tokens: number) => ({ tokens, wasServed: true, enteredAtMs: Date.now() })

  test('go on alone while Redis is away, with what they knew, and together when it is back', async () => {
    const of = freshAccounts({ daily_requests: 4, daily_tokens: 100_000, concurrency: 3 })
    const [one, two] = [join(), join()]
    expect(await two.enter(of, 'a')).toMatchObject({ isLetIn: true })
    expect(await one.enter(of, 'b')).toMatchObject({ isLetIn: true })
    await takeAway()
    expect(await one.enter(of, 'c')).toMatchObject({
      isLetIn: true,
      balances: [{ dayRequests: 3, running: 2 }],
    })
    expect(one.isDegraded()).toBe(true)
    one.leave(of, 'b', served(30))
    one.leave(of, 'c', served(40))
    expect(await one.enter(of, 'd')).toMatchObject({ isLetIn: true })
    expect(await one.enter(of, 'e')).toMatchObject({ isLetIn: false })
    await giveBack()
    await waitUntil('they are shared again', async () => !one.isDegraded())
    await waitUntil(
      'the running one is known',
      async () => (await two.read(of)).balances[0]?.running === 2,
    )
    expect(await two.read(of)).toMatchObject({ balances: [{ dayRequests: 3, dayTokens: 70 }] })
    const events = logged.map((line) => /"event":"([^"]+)"/.exec(line)?.[1])
    expect(events).toEqual(['limits.degraded', 'limits.shared'])
  })

  test('count what they let in alone against the day, so that an outage brings no second budget', async () => {
    const of = freshAccounts({ daily_requests: 20 })
    const counters = join()
    let letIn = 0
    const call = async (name: string) => {
      if (!(await counters.enter(of, name)).isLetIn) return
      letIn += 1
      counters.leave(of, name, { ...served(1), tokens: undefined })
    }
    await call('before')
    await takeAway()
    for (let i = 0; i < 9; i += 1) await call(`meanwhile ${i}`)
    await giveBack()
    await waitUntil('they are shared again', async () => !counters.isDegraded())
    for (let i = 0; i < 30; i += 1) await call(`after ${i}`)
    expect(letIn).toBe(20)
  })

  test('stay alone as long as Redis answers questions and counts nothing', async () => {
    const of = freshAccounts({ rpm: 100, daily_requests: 100 })
    const counters = join()
    const refusals = async () =>
      Number(/errorstat_OOM:count=(\d+)/.exec(String(await ask('info', 'errorstats')))?.[1] ?? 0)
    await ask('config', 'set', 'maxmemory', 1)
    try {
      expect(await counters.enter(of, 'one')).toMatchObject({ isLetIn: true })
      await waitUntil('it was asked again', async () => (await refusals()) >= 5)
      expect(await counters.enter(of, 'two')).toMatchObject({ isLetIn: true })
    } finally {
      await ask('config', 'set', 'maxmemory', 0)
    }
    await waitUntil('they are shared again', async () => !counters.isDegraded())
    const events = logged.map((line) => /"event":"([^"]+)"/.exec(line)?.[1])
    expect(events).toEqual(['limits.degraded', 'limits.shared'])
  })

  test('do not let every request wait for a Redis that is silent', async () => {
    const of = freshAccounts({ rpm: 100 })
    const counters = join()
    await counters.enter(of, 'first')
    await ask('client', 'pause', 1000, 'all')
    expect(await counters.enter(of, 'waits')).toMatchObject({ isLetIn: true })
    let isOver = false
    const later = counters.enter(of, 'later')
    void later.then(() => {
      isOver = true
    })
    // One turn of the event loop: no answer can come by then.
    await new Promise(setImmediate)
    expect(isOver).toBe(true)
    await waitUntil('it speaks again', async () => !counters.isDegraded())
  })

  test('refuse, or let in, while Redis is away, where that is wanted', async () => {
    const of = freshAccounts({ daily_requests: 1 })
    const [refusing, generous] = [join('refuse'), join('continue')]
    await generous.enter(of, 'only')
    await takeAway()
    await expect(refusing.enter(of, 'one')).rejects.toMatchObject({
      code: 'temporarily_unavailable',
      reason: 'limits_unavailable',
    })
    await expect(refusing.enter(of, 'two')).rejects.toMatchObject({ reason: 'limits_unavailable' })
    expect(await generous.enter(of, 'three')).toMatchObject({ isLetIn: true })
    await giveBack()
    await waitUntil('they count again', async () => !generous.isDegraded())
    expect(await generous.enter(of, 'four')).toMatchObject({ isLetIn: false })
  })

  test('settle what has ended before they close', async () => {
    const of = freshAccounts({ daily_tokens: 1000 })
    const counters = join()
    await counters.enter(of, 'one')
    counters.leave(of, 'one', served(10))
    await counters.close()
    expect(await join().read(of)).toMatchObject({ balances: [{ dayTokens: 10, running: 0 }] })
  })
})
