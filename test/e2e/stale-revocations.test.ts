import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import {
  createLiveRevocations,
  type FedRevocations,
} from '../../src/revocations/live-revocations.ts'
import { readAuditTexts } from '../support/audit-lines.ts'
import { startLoneProxy, type LoneProxy } from '../support/lone-proxy.ts'
import { waitUntil } from '../support/wait-until.ts'

let proxy: LoneProxy
afterEach(() => proxy.close())

/** A proxy whose revocations come from the test, which has seen the whole log just now. */
async function start(set: readonly string[] = []): Promise<FedRevocations> {
  const { promise, resolve } = Promise.withResolvers<FedRevocations>()
  proxy = await startLoneProxy(set, (clock) => {
    const live = createLiveRevocations(clock)
    live.markComplete()
    resolve(live)
    return live
  })
  return promise
}

const readiness = async () => {
  const response = await fetch(`http://${proxy.config.proxy.opsListen}/readyz`)
  const { checks } = (await response.json()) as { checks: Record<string, unknown> }
  return { status: response.status, revocations: checks['revocations'] }
}
const lastCall = () => proxy.logged.findLast((line) => line['event'] === 'proxy.call')
const jtiEntry = (jti: string) => ({
  id: '1',
  entry: { kind: 'jti' as const, value: jti, exp: Math.floor(proxy.time.now / 1000) + 900 },
})

describe('when too much may have been missed', () => {
  test('a good token is 503 with a time to come back, the proxy is not ready, and both end with the word that all was heard', async () => {
    const live = await start()
    const token = await proxy.issuer.sign()
    expect((await proxy.call(`Bearer ${token}`)).status).toBe(200)
    expect(await readiness()).toEqual({ status: 200, revocations: { status: 'ok' } })

    proxy.time.now += 60_001
    const refused = await proxy.call(`Bearer ${token}`)
    expect(refused.status).toBe(503)
    expect(refused.headers.get('retry-after')).toBe('1')
    expect(refused.headers.get('www-authenticate')).toBeNull()
    expect(await refused.json()).toMatchObject({ error: { code: 'temporarily_unavailable' } })
    expect(lastCall()).toMatchObject({ decision: 'deny', reason: 'revocations_stale' })
    expect(await readiness()).toMatchObject({
      status: 503,
      revocations: { status: 'unavailable' },
    })

    live.markComplete()
    expect((await proxy.call(`Bearer ${token}`)).status).toBe(200)
    expect((await readiness()).status).toBe(200)
  })

  test('what is known to be revoked is 401 and not 503', async () => {
    const live = await start()
    const token = await proxy.issuer.sign({ jti: 'known' })
    live.receive([jtiEntry('known')])
    proxy.time.now += 60_001
    expect((await proxy.call(`Bearer ${token}`)).status).toBe(401)
  })

  test('with revocations.onStale=continue a good token passes, and readiness says what is the matter', async () => {
    const live = await start(['revocations.onStale=continue'])
    const [good, revoked] = await Promise.all([
      proxy.issuer.sign(),
      proxy.issuer.sign({ jti: 'r' }),
    ])
    live.receive([jtiEntry('r')])
    proxy.time.now += 600_000
    expect((await proxy.call(`Bearer ${good}`)).status).toBe(200)
    expect((await proxy.call(`Bearer ${revoked}`)).status).toBe(401)
    expect(await readiness()).toEqual({
      status: 200,
      revocations: { status: 'ok', detail: expect.stringContaining('too long') },
    })
    await waitUntil('the alarm in the log', async () =>
      proxy.logged.some((line) => line['event'] === 'revocations.stale'),
    )
  })
})

describe('an answer that has begun', () => {
  test('breaks off when its token is revoked, and its line and its audit record say why', async () => {
    const live = await start()
    const { promise: left, resolve: leave } = Promise.withResolvers<void>()
    proxy.model.answer((req, res) => {
      req.resume()
      res.once('close', leave)
      res.writeHead(200, { 'content-type': 'text/event-stream' }).write('data: first\n\n')
    })
    const running = await proxy.call(`Bearer ${await proxy.issuer.sign({ jti: 'running' })}`)
    const reader = running.body?.getReader()
    const first = await reader?.read()
    expect([running.status, Buffer.from(first?.value ?? []).toString()]).toEqual([
      200,
      'data: first\n\n',
    ])
    live.receive([jtiEntry('running')])
    await expect(reader?.read()).rejects.toThrow(TypeError)
    await left
    await waitUntil('the line', async () => lastCall() !== undefined)
    const denied = { decision: 'deny', reason: 'revoked', jti: 'running' }
    expect(lastCall()).toMatchObject(denied)
    await waitUntil('the audit record', async () => {
      const texts = await readAuditTexts(join(proxy.config.dataDir, 'audit'))
      return [...texts.values()].join('').includes('proxy.call')
    })
    const texts = await readAuditTexts(join(proxy.config.dataDir, 'audit'))
    const [line = ''] = [...texts.values()].join('').split('\n')
    expect(JSON.parse(line)).toMatchObject({ ...denied, status: 200, upstream: proxy.model.url })
  })
})
