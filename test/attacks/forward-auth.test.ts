import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  createLiveRevocations,
  type FedRevocations,
} from '../../src/revocations/live-revocations.ts'
import { startLoneProxy, type LoneProxy } from '../support/lone-proxy.ts'
import { exchangeRaw, statusOf } from '../support/raw-http.ts'

const PATH = '/_gatehouse/verify'

let proxy: LoneProxy
let revocations: FedRevocations
let token: string
beforeAll(async () => {
  proxy = await startLoneProxy(['proxy.forwardAuth=true'], (clock) => {
    revocations = createLiveRevocations(clock)
    revocations.markComplete()
    return revocations
  })
  token = await proxy.issuer.sign()
})
afterAll(() => proxy.close())

const original = (method: string, uri: string) => ({
  'x-original-method': method,
  'x-original-uri': uri,
})
const forwarded = (method: string, uri: string) => ({
  'x-forwarded-method': method,
  'x-forwarded-uri': uri,
})
const ask = (headers: Record<string, string>, { path = PATH, method = 'GET', by = token } = {}) =>
  proxy.call(by === '' ? undefined : `Bearer ${by}`, { headers, method, body: null }, path)
const lastLine = () => proxy.logged.findLast(({ event }) => event === 'proxy.call')

describe('a question at /_gatehouse/verify', () => {
  test.each([
    ['as nginx asks', original('POST', '/ocr/infer?x=1'), {}],
    ['as Traefik and Caddy ask', forwarded('POST', '/ocr/infer?x=1'), {}],
    ['by any method', forwarded('POST', '/ocr/infer'), { method: 'DELETE' }],
    ['as Envoy asks', {}, { method: 'POST', path: `${PATH}/ocr/infer?x=1` }],
  ])(
    '%s is answered with who calls, and nothing reaches the model server',
    async (_title, headers, how) => {
      const answer = await ask(headers, how)
      expect(answer.status).toBe(200)
      expect(Object.fromEntries(answer.headers)).toMatchObject({
        'cache-control': 'no-store',
        'x-gatehouse-subject': 'robot',
        'x-gatehouse-client': 'robot',
        'x-gatehouse-tenant': 'default',
        'x-gatehouse-scope': 'ocr_api_access',
        'x-request-id': expect.any(String),
      })
      expect(await answer.text()).toBe('')
      expect(proxy.model.received).toEqual([])
      expect(lastLine()).toMatchObject({
        request_id: answer.headers.get('x-request-id'),
        decision: 'allow',
        route: PATH,
        target: 'POST /ocr/infer',
        sub: 'robot',
      })
    },
  )

  test.each([
    ['another path', original('GET', '/admin'), 'not_found'],
    ['another method', original('GET', '/ocr/infer'), 'method_not_allowed'],
    ['an absolute address', original('GET', 'http://x/health'), 'not_found'],
    ['an encoded path', forwarded('GET', '/v1/%6dodels'), 'not_found'],
    ['itself', forwarded('GET', PATH), 'not_found'],
    ['nothing', {}, 'unclear_forward_auth'],
    ['a path without a method', { 'x-original-uri': '/health' }, 'unclear_forward_auth'],
    [
      'half of each pair',
      { 'x-original-method': 'GET', 'x-forwarded-uri': '/health' },
      'unclear_forward_auth',
    ],
    [
      'two requests, one of them the caller’s own words',
      { ...forwarded('POST', '/ocr/infer'), ...original('GET', '/health') },
      'unclear_forward_auth',
    ],
  ])('about %s is 403, as nginx makes a failure of a 404', async (_title, headers, reason) => {
    const answer = await ask(headers)
    expect(answer.status).toBe(403)
    expect(await answer.json()).toMatchObject({ error: { code: 'forbidden' } })
    expect(lastLine()).toMatchObject({ decision: 'deny', reason })
  })

  test('about a path behind ours does not listen to headers, which are the caller’s there', async () => {
    const how = { method: 'POST', path: `${PATH}/ocr/infer`, by: '' }
    expect((await ask(original('GET', '/health'), how)).status).toBe(401)
  })

  test('is 401 with the challenge when the token is not good, 403 when a scope is missing', async () => {
    const asked = forwarded('POST', '/ocr/infer')
    const without = await ask(asked, { by: '' })
    expect(without.status).toBe(401)
    expect(without.headers.get('www-authenticate')).toContain('resource_metadata=')
    const scopeless = await proxy.issuer.sign({ scope: 'openid' })
    expect((await ask(asked, { by: scopeless })).status).toBe(403)
    expect((await ask(asked, { by: await proxy.issuer.sign({ cnf: { jkt: 'x' } }) })).status).toBe(
      401,
    )
  })

  test('with two tokens is 403, whichever is good', async () => {
    const head = [
      `GET ${PATH}/v1/models HTTP/1.1`,
      'Host: x',
      'Connection: close',
      `Authorization: Bearer ${token}`,
      'Authorization: Bearer x',
    ]
    const answer = await exchangeRaw(proxy.port, `${head.join('\r\n')}\r\n\r\n`)
    expect(statusOf(answer)).toBe(403)
  })

  test('is 401 once the token is revoked', async () => {
    const jti = 'to-be-revoked'
    const by = await proxy.issuer.sign({ jti })
    const asked = forwarded('POST', '/ocr/infer')
    expect((await ask(asked, { by })).status).toBe(200)
    const exp = Math.floor(proxy.time.now / 1000) + 900
    revocations.receive([{ id: '1', entry: { kind: 'jti', value: jti, exp } }])
    expect((await ask(asked, { by })).status).toBe(401)
  })

  test('about a public route names nobody, in so many words', async () => {
    const answer = await ask(forwarded('GET', '/health'))
    expect(answer.status).toBe(200)
    expect(answer.headers.get('x-gatehouse-subject')).toBe('')
  })
})

test('without proxy.forwardAuth there is no such place', async () => {
  const plain = await startLoneProxy()
  const answer = await plain.call(undefined, { headers: forwarded('GET', '/health') }, PATH)
  await plain.close()
  expect(answer.status).toBe(404)
})
