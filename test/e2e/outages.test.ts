import { createServer } from 'node:net'
import { afterEach, describe, expect, test } from 'vitest'
import { freePorts } from '../../src/cli/free-ports.ts'
import { startLoneProxy, type LoneProxy } from '../support/lone-proxy.ts'

let proxy: LoneProxy
afterEach(() => proxy.close())

const errorOf = async (response: Response) => {
  const body = (await response.json()) as { error: { code: string } }
  return [response.status, body.error.code, response.headers.get('retry-after')]
}
const readiness = async () => {
  const response = await fetch(`http://${proxy.config.proxy.opsListen}/readyz`)
  return [response.status, await response.json()]
}

describe('ory/oathkeeper#203: an issuer that cannot be reached', () => {
  test('for too long: 503 with Retry-After and never 401, not ready, and well again by itself', async () => {
    proxy = await startLoneProxy()
    await expect.poll(readiness).toMatchObject([200, {}])
    proxy.issuer.answerJwks((res) => res.writeHead(500).end())
    proxy.time.now += 90_000_000
    expect(await errorOf(await proxy.call(`Bearer ${await proxy.issuer.sign()}`))).toEqual([
      503,
      'temporarily_unavailable',
      '10',
    ])
    expect((await readiness())[0]).toBe(503)
    const line = proxy.logged.findLast((entry) => entry['event'] === 'proxy.call')
    expect(line).toMatchObject({ decision: 'deny', reason: 'keys_unavailable' })

    proxy.issuer.answerJwks((res) => res.end(JSON.stringify({ keys: proxy.issuer.published })))
    proxy.time.now += 10_000
    expect((await proxy.call(`Bearer ${await proxy.issuer.sign()}`)).status).toBe(200)
    expect(await readiness()).toMatchObject([200, { checks: { keys: { status: 'ok' } } }])
  })

  test('later: known tokens and new tokens of known keys go on; a hanging JWKS delays none of them', async () => {
    proxy = await startLoneProxy()
    expect((await proxy.call(`Bearer ${await proxy.issuer.sign()}`)).status).toBe(200)
    proxy.issuer.answerJwks(() => undefined)
    proxy.time.now += 3_600_000
    const unknown = proxy.call(`Bearer ${await proxy.issuer.sign({}, { kid: 'other' })}`)
    const startedAt = performance.now()
    const answer = await Promise.race([proxy.call(`Bearer ${await proxy.issuer.sign()}`), unknown])
    expect(answer.status).toBe(200)
    expect(performance.now() - startedAt).toBeLessThan(4000)
    expect((await unknown).status).toBe(503)
  })
})

describe('a token that was verified before', () => {
  test('is refused from its exp on, and when its key is no longer published', async () => {
    proxy = await startLoneProxy(['proxy.clockSkewSeconds=0'])
    const token = await proxy.issuer.sign()
    expect((await proxy.call(`Bearer ${token}`)).status).toBe(200)
    const first = proxy.time.now
    proxy.time.now = first + 899_000
    expect((await proxy.call(`Bearer ${token}`)).status).toBe(200)
    proxy.time.now = first + 901_000
    expect((await proxy.call(`Bearer ${token}`)).status).toBe(401)

    const other = await proxy.issuer.sign()
    expect((await proxy.call(`Bearer ${other}`)).status).toBe(200)
    proxy.issuer.published = [{ ...proxy.issuer.published[0], kid: 'new-key' }]
    proxy.time.now += 301_000
    const status = async () => (await proxy.call(`Bearer ${other}`)).status
    await expect.poll(status, { timeout: 5000 }).toBe(401)
  })
})

describe('a model server that cannot be reached', () => {
  test('refuses connections: 502', async () => {
    const [port] = await freePorts(1)
    proxy = await startLoneProxy([`proxy.upstreams=http://127.0.0.1:${port}`])
    const response = await proxy.call(`Bearer ${await proxy.issuer.sign()}`)
    expect(await errorOf(response)).toEqual([502, 'upstream_unreachable', null])
  })

  test('has a name that does not resolve: 502', async () => {
    proxy = await startLoneProxy(['proxy.upstreams=http://model.invalid:8000'])
    const response = await proxy.call(`Bearer ${await proxy.issuer.sign()}`)
    expect(await errorOf(response)).toEqual([502, 'upstream_unreachable', null])
  })

  test('says nothing for longer than the first-byte time-out: 504', async () => {
    const silent = createServer((socket) => void socket.resume())
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve))
    const address = silent.address()
    const port = address !== null && typeof address === 'object' ? address.port : 0
    proxy = await startLoneProxy([
      `proxy.upstreams=http://127.0.0.1:${port}`,
      'proxy.firstByteTimeoutSeconds=1',
    ])
    const response = await proxy.call(`Bearer ${await proxy.issuer.sign()}`)
    expect(await errorOf(response)).toEqual([504, 'upstream_timeout', null])
    silent.close()
  })
})
