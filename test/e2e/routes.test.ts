import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createDpopClient } from '../support/dpop-client.ts'
import { startLoneProxy, type LoneProxy } from '../support/lone-proxy.ts'
import { exchangeRaw, statusOf } from '../support/raw-http.ts'

describe('routes of an installation', () => {
  let proxy: LoneProxy
  let token: string
  beforeAll(async () => {
    const scopes = ['ocr_api_access']
    const routes = [
      { method: 'POST', path: '/v1/files/{id}', scopes, maxBodyBytes: 10 },
      { method: 'GET', path: '/v1/files/{id}', scopes: ['files:read', 'ocr_api_access'] },
      { method: 'GET', path: '/slow', scopes, firstByteTimeoutSeconds: 1 },
      { method: 'POST', path: '/feedback', public: true, maxBodyBytes: 5 },
    ]
    proxy = await startLoneProxy([`proxy.routes=${JSON.stringify(routes)}`])
    token = await proxy.issuer.sign()
  })
  afterAll(() => proxy.close())

  const post = (
    path: string,
    body: string,
    authorization: string | undefined = `Bearer ${token}`,
  ) => proxy.call(authorization, { body }, path)

  test('replace the default ones, are sent on as they came, and are counted by their pattern', async () => {
    expect((await post('/v1/files/%E6%96%87.png?x=%2f', 'abc')).status).toBe(200)
    expect(proxy.model.received.at(-1)?.target).toBe('/v1/files/%E6%96%87.png?x=%2f')
    expect(proxy.logged.at(-1)).toMatchObject({ event: 'proxy.call', route: '/v1/files/{id}' })
    expect((await post('/ocr/infer', 'abc')).status).toBe(404)
    for (const path of ['/v1/files/..', '/v1/files/a%2fb', '/v1/files/', '/v1/files/a/b']) {
      const head = `POST ${path} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n`
      const answer = await exchangeRaw(proxy.port, `${head}Authorization: Bearer ${token}\r\n\r\n`)
      expect([path, statusOf(answer)]).toEqual([path, 404])
    }
  })

  test('have limits and scopes of their own, and methods that a 405 names', async () => {
    expect((await post('/v1/files/x', 'x'.repeat(11))).status).toBe(413)
    expect((await post('/feedback', 'hello', '')).status).toBe(200)
    expect((await post('/feedback', 'hello!', '')).status).toBe(413)
    const init = { method: 'GET', body: null }
    const scopeless = await proxy.call(`Bearer ${token}`, init, '/v1/files/x')
    expect(scopeless.status).toBe(403)
    expect(scopeless.headers.get('www-authenticate')).toContain('scope="files:read ocr_api_access"')
    const other = await proxy.call(undefined, { method: 'PUT' }, '/v1/files/x')
    expect([other.status, other.headers.get('allow')]).toEqual([405, 'POST, GET, HEAD'])
  })

  test('want a DPoP proof for the path that is meant, not for its pattern', async () => {
    const client = await createDpopClient(() => proxy.time.now)
    const bound = await proxy.issuer.sign({ cnf: { jkt: client.jkt } })
    const send = async (path: string) => {
      const request = { method: 'POST', uri: `${proxy.url}${path}`, accessToken: bound }
      const headers = { dpop: await client.prove(request) }
      return (await proxy.call(`DPoP ${bound}`, { headers, body: 'x' }, '/v1/files/x')).status
    }
    expect(await send('/v1/files/x')).toBe(200)
    expect(await send('/v1/files/y')).toBe(401)
  })

  test('have a time-out of their own', async () => {
    proxy.model.answer(() => undefined)
    const answer = await proxy.call(`Bearer ${token}`, { method: 'GET', body: null }, '/slow')
    expect(answer.status).toBe(504)
  })
})
