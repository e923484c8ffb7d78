import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startProxy } from '../../src/cli/start-proxy.ts'
import type { Config } from '../../src/config/schema.ts'
import { systemClock } from '../../src/kernel/clock.ts'
import { createLog } from '../../src/kernel/log.ts'
import { startModelServer, type ModelServer } from '../support/model-server.ts'
import { pairOf } from '../support/pair.ts'
import { hasRedisServer } from '../support/redis-binary.ts'
import { expectLifetimes } from '../support/redis-lifetimes.ts'
import { startRedis, type RedisServers } from '../support/redis-server.ts'
import { startTestIssuer, type TestIssuer } from '../support/test-issuer.ts'
import { waitUntil } from '../support/wait-until.ts'

describe.skipIf(!hasRedisServer)('two proxies on one Redis', () => {
  let dir: string
  let servers: RedisServers
  let model: ModelServer
  let issuer: TestIssuer
  let pair: readonly Config[]
  let proxies: Awaited<ReturnType<typeof startProxy>>[]
  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'gatehouse-limits-'))
    servers = await startRedis()
    model = await startModelServer()
    const drafts = await pairOf(dir, servers.url, [
      `proxy.upstreams=${model.url}`,
      'revocations.feed=off',
    ])
    issuer = await startTestIssuer(drafts[0].proxy.url)
    pair = drafts.map((draft) => ({ ...draft, issuer: { ...draft.issuer, url: issuer.url } }))
    const around = { log: createLog('silent'), clock: systemClock }
    proxies = await Promise.all(pair.map((config) => startProxy(config, around)))
  })
  afterAll(async () => {
    await Promise.all(proxies.map((proxy) => proxy.close(0)))
    await Promise.all([model.close(), issuer.close()])
    await expectLifetimes(servers).finally(servers.stop)
    await rm(dir, { recursive: true })
  })

  const call = async (number: number, token: string) => {
    const listen = pair[number % 2]?.proxy.listen ?? ''
    const response = await fetch(`http://${listen}/v1/models`, {
      headers: { authorization: `Bearer ${token}` },
    })
    await response.arrayBuffer()
    return response
  }

  test('let in as many requests as a budget has, from however many callers', async () => {
    const limits = { client: { daily_requests: 300 } }
    const token = await issuer.sign({ limits, client_id: 'budgeted' })
    let allowed = 0
    const caller = async (_: unknown, number: number) => {
      for (let i = 0; i < 10; i += 1) {
        if ((await call(number, token)).status === 200) allowed += 1
      }
    }
    await Promise.all(Array.from({ length: 64 }, caller))
    expect(allowed).toBe(300)
    // The proxies also ask how it is.
    const asked = model.received.filter(({ target }) => target === '/v1/models')
    expect(asked).toHaveLength(300)
  })

  test('go on without Redis, each by itself, and say so', async () => {
    const limits = { client: { daily_requests: 2 } }
    const token = await issuer.sign({ limits, client_id: 'outage' })
    const degraded = async (number: number) => {
      const metrics = await fetch(`http://${pair[number]?.proxy.opsListen}/metrics`)
      return /^gatehouse_limits_degraded (\d)$/m.exec(await metrics.text())?.[1]
    }
    expect([(await call(0, token)).status, await degraded(0)]).toEqual([200, '0'])
    await servers.nodes[0]?.link.send(['acl', 'setuser', 'default', '-@scripting'])
    // What the first has let in, it knows; the second was not told.
    expect([(await call(0, token)).status, (await call(0, token)).status]).toEqual([200, 429])
    expect([(await call(1, token)).status, (await call(1, token)).status]).toEqual([200, 200])
    expect([await degraded(0), await degraded(1)]).toEqual(['1', '1'])
    await servers.nodes[0]?.link.send(['acl', 'setuser', 'default', '+@scripting'])
    await waitUntil('they share again', async () => {
      const states = [await degraded(0), await degraded(1)]
      return states.join() === '0,0'
    })
    // What both have let in meanwhile counts.
    expect([(await call(1, token)).status, (await call(0, token)).status]).toEqual([429, 429])
  })

  test('settle what a proxy cuts when it shuts down', async () => {
    const [draft] = await pairOf(dir, servers.url, [
      `proxy.upstreams=${model.url}`,
      'revocations.feed=off',
    ])
    const { issuer: itsIssuer, proxy: itsProxy } = pair[0] ?? draft
    const config = { ...draft, issuer: itsIssuer, proxy: { ...draft.proxy, url: itsProxy.url } }
    const third = await startProxy(config, { log: createLog('silent'), clock: systemClock })
    model.answer((req, res) => {
      req.resume()
      res.setHeader('content-type', 'text/event-stream')
      res.write('data: {"usage":{"prompt_tokens":90,"completion_tokens":10}}\n\n')
    })
    const limits = { client: { daily_tokens: 1_000_000, concurrency: 4 } }
    const authorization = `Bearer ${await issuer.sign({ limits, client_id: 'cut' })}`
    for (let i = 0; i < 3; i += 1) {
      const answer = await fetch(`http://${draft.proxy.listen}/v1/chat/completions`, {
        method: 'POST',
        body: '{}',
        headers: { authorization },
      })
      await answer.body?.getReader().read()
    }
    await third.close(0)
    const usage = await fetch(`http://${pair[1]?.proxy.listen}/_gatehouse/usage`, {
      headers: { authorization },
    })
    expect(await usage.json()).toMatchObject({
      limits: { client: { concurrency: { remaining: 4 }, daily_tokens: { remaining: 999_700 } } },
    })
  })
})
