import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { startLoneProxy, type LoneProxy } from '../support/lone-proxy.ts'
import { exchangeRaw, statusOf } from '../support/raw-http.ts'

let proxy: LoneProxy
let token: string
beforeAll(async () => {
  proxy = await startLoneProxy()
  token = await proxy.issuer.sign()
})
afterAll(() => proxy.close())
beforeEach(() => {
  proxy.model.received.length = 0
})

const raw = (startLine: string, headers: readonly string[], body = '') =>
  exchangeRaw(proxy.port, [startLine, ...headers, '', body].join('\r\n'))
const authorized = () => [`Host: localhost:${proxy.port}`, `Authorization: Bearer ${token}`]

describe('CVE-2026-40575, CVE-2025-64484, CVE-2026-35051: identity headers cannot be forged', () => {
  const forged = [
    'X-Gatehouse-Subject: admin',
    'x-gatehouse-tenant: other',
    'X_Gatehouse_Client: admin',
    'x-gatehouse_scope: everything',
    'X.Gatehouse.Subject: admin',
    'x-gatehouse~tenant: other',
    "X'Gatehouse!Client: admin",
    'X-GATEHOUSE-ANYTHING: 1',
    'X-Forwarded-For: 1.2.3.4',
    'X-Forwarded-User: admin',
    'X_Forwarded_Proto: https',
    'X.Forwarded.For: 1.2.3.4',
    'Proxy+Authorization: Basic eDp5',
    'Forwarded: for=1.2.3.4',
    'Client-Cert: :AAAA:',
    'Proxy-Authorization: Basic eDp5',
    'TE: trailers',
    'Content_Length: 5',
    'Content.Length: 5',
    'X-Secret-Hop: 1',
    'Connection: x-secret-hop, keep-alive',
  ]

  test('on a protected route ours arrive once and theirs never', async () => {
    const answer = await raw('GET /v1/models HTTP/1.1', [...authorized(), ...forged, 'X-Kept: yes'])
    expect(statusOf(answer)).toBe(200)
    const names = proxy.model.received[0]?.rawHeaders.filter((_, i) => i % 2 === 0) ?? []
    const ours = names.filter((name) => /gatehouse/i.test(name)).sort()
    expect(ours).toEqual([
      'x-gatehouse-client',
      'x-gatehouse-scope',
      'x-gatehouse-subject',
      'x-gatehouse-tenant',
      'x-gatehouse-token-id',
    ])
    expect(proxy.model.received[0]?.headers).toMatchObject({
      'x-gatehouse-subject': 'robot',
      'x-kept': 'yes',
    })
    const unwanted = /forwarded|authorization|client-cert|^te$|x-secret-hop|proxy|content.length/i
    expect(names.filter((name) => unwanted.test(name))).toEqual([])
  })

  test('on a public route none arrives at all', async () => {
    const answer = await raw('GET /health HTTP/1.1', [`Host: x`, ...forged])
    expect(statusOf(answer)).toBe(200)
    const names = proxy.model.received[0]?.rawHeaders.filter((_, i) => i % 2 === 0) ?? []
    expect(names.filter((name) => /gatehouse|forwarded|x-secret-hop/i.test(name))).toEqual([])
  })

  test('an identity outside visible ASCII arrives percent-encoded, and no two look alike', async () => {
    for (const sub of ['王小明', 'a b', 'a%20b']) {
      await proxy.call(`Bearer ${await proxy.issuer.sign({ sub })}`)
    }
    expect(proxy.model.received.map(({ headers }) => headers['x-gatehouse-subject'])).toEqual([
      '%E7%8E%8B%E5%B0%8F%E6%98%8E',
      'a%20b',
      'a%2520b',
    ])
  })

  test('a token goes no further than the proxy, whatever it is put into', async () => {
    await raw('GET /v1/models HTTP/1.1', authorized())
    expect(JSON.stringify(proxy.model.received)).not.toContain(token.slice(0, 40))
    expect(JSON.stringify(proxy.logged)).not.toContain(token.slice(0, 40))
  })
})

describe('vllm-project/vllm#58144, #52794: the path decided on is the path sent', () => {
  test.each([
    'GET //v1/models',
    'GET /v1//models',
    'GET /v1/models/',
    'GET /v1/../v1/models',
    'GET /v1/./models',
    'GET /v1/%6dodels',
    'GET /v1%2fmodels',
    'GET /V1/models',
    'GET /v1/models;x=1',
    'GET /v1\\models',
    'GET /health/../v1/load_lora_adapter',
    'GET /health%2f..%2fmetrics',
    'GET /metrics',
    'POST /v1/completions',
    'POST /v1/embeddings',
    'POST /pause',
    'POST /inference/v1/generate',
    'GET http://127.0.0.1/v1/models',
    'GET *',
    'OPTIONS *',
  ])('%s is 404 and never forwarded', async (line) => {
    const answer = await raw(`${line} HTTP/1.1`, authorized())
    expect(statusOf(answer)).toBe(404)
    expect(answer).toMatch(/\r\nx-request-id: /i)
    expect(proxy.model.received).toEqual([])
  })

  test.each(['TRACE', 'PUT', 'DELETE', 'PATCH', 'OPTIONS', 'POST', 'PROPFIND'])(
    '%s on a known path is 405 with Allow, before authentication',
    async (method) => {
      const answer = await raw(`${method} /v1/models HTTP/1.1`, ['Host: x'])
      expect(statusOf(answer)).toBe(405)
      expect(answer).toMatch(/\r\nallow: GET, HEAD\r\n/i)
      expect(proxy.model.received).toEqual([])
    },
  )

  test('HEAD goes where GET goes, and the query goes along unchanged', async () => {
    expect(
      statusOf(
        await raw('HEAD /v1/models?a=%2e%2E&b=//c HTTP/1.1', [
          ...authorized(),
          'Connection: close',
        ]),
      ),
    ).toBe(200)
    expect(proxy.model.received).toMatchObject([
      { method: 'HEAD', target: '/v1/models?a=%2e%2E&b=//c' },
    ])
  })

  test.each(['websocket', 'h2c'])('an upgrade to %s is refused', async (protocol) => {
    const answer = await raw('GET /v1/models HTTP/1.1', [
      ...authorized(),
      'Connection: Upgrade',
      `Upgrade: ${protocol}`,
    ])
    expect(statusOf(answer)).toBe(400)
    expect(proxy.model.received).toEqual([])
  })

  test('CONNECT is refused', async () => {
    expect(statusOf(await raw('CONNECT 127.0.0.1:8000 HTTP/1.1', ['Host: x']))).toBe(405)
  })
})

describe('RFC 9112 §6.3, §11.2: one request has one end', () => {
  test.each([
    ['a length beside chunks', ['Content-Length: 5', 'Transfer-Encoding: chunked'], '0\r\n\r\n'],
    ['two lengths', ['Content-Length: 5', 'Content-Length: 6'], 'hello!'],
    ['two equal lengths', ['Content-Length: 5', 'Content-Length: 5'], 'hello'],
    ['a list of lengths', ['Content-Length: 5, 5'], 'hello'],
    ['a signed length', ['Content-Length: +5'], 'hello'],
    ['chunked twice', ['Transfer-Encoding: chunked, chunked'], '0\r\n\r\n'],
    ['an unknown coding', ['Transfer-Encoding: gzip'], ''],
    ['a bad chunk size', ['Transfer-Encoding: chunked'], 'xyz\r\nhello\r\n0\r\n\r\n'],
    ['a folded header', ['X-Folded: a\r\n b'], ''],
    ['a space before the colon', ['Content-Length : 5'], 'hello'],
    ['a bare line feed', ['X-A: b\nX-C: d'], ''],
    ['a null byte', ['X-A: b\0c'], ''],
  ])('%s is 400 and closes the connection', async (_what, headers, body) => {
    const answer = await raw(
      'POST /v1/chat/completions HTTP/1.1',
      [...authorized(), ...headers],
      body,
    )
    expect(statusOf(answer)).toBe(400)
    expect(answer).toMatch(/\r\nconnection: close\r\n/i)
    expect(proxy.model.received).toEqual([])
  })

  test('two Authorization headers are 400, whichever is good', async () => {
    const answer = await raw('GET /v1/models HTTP/1.1', [
      ...authorized(),
      'Authorization: Bearer x',
    ])
    expect(statusOf(answer)).toBe(400)
  })

  test('two Host headers are 400', async () => {
    expect(statusOf(await raw('GET /v1/models HTTP/1.1', [...authorized(), 'Host: other']))).toBe(
      400,
    )
  })

  test('an address of 20 kB is 431', async () => {
    const answer = await raw(`GET /v1/models?${'x'.repeat(20_000)} HTTP/1.1`, authorized())
    expect(statusOf(answer)).toBe(431)
    expect(proxy.model.received).toEqual([])
  })

  test('headers of 20 kB are 431', async () => {
    const answer = await raw('GET /v1/models HTTP/1.1', [
      ...authorized(),
      `X-Long: ${'x'.repeat(20_000)}`,
    ])
    expect(statusOf(answer)).toBe(431)
  })
})

describe('a body that breaks on its way', () => {
  const broken = '5\r\nhello\r\nZZ\r\n'
  const chunked = (path: string, id: string, headers: readonly string[]) =>
    raw(
      `POST ${path} HTTP/1.1`,
      [...headers, 'Transfer-Encoding: chunked', `X-Request-Id: ${id}`],
      broken,
    )
  /** All that was logged of requests since, once the call is over. */
  async function linesSince(count: number) {
    const lines = () =>
      proxy.logged
        .slice(count)
        .filter(({ event }) => event === 'proxy.call' || event === 'request.refused')
    await expect.poll(() => lines().map(({ event }) => event)).toContain('proxy.call')
    return lines()
  }

  test('is refused with the id that its one record has', async () => {
    const before = proxy.logged.length
    const answer = await chunked('/v1/chat/completions', 'broken-body-1', authorized())
    expect(statusOf(answer)).toBe(400)
    expect(answer).toMatch(/\r\nx-request-id: broken-body-1\r\n/i)
    expect(answer).toMatch(/\r\nconnection: close\r\n/i)
    expect(answer).toContain('urn:gatehouse:error:malformed_request')
    const lines = await linesSince(before)
    expect(lines).toHaveLength(1)
    expect(lines[0]).toMatchObject({
      request_id: 'broken-body-1',
      decision: 'deny',
      reason: 'malformed_request',
      status: 400,
      route: '/v1/chat/completions',
      client_id: 'robot',
    })
  })
})

test('a request id that is not sane is replaced, so that nobody writes into our log', async () => {
  for (const id of [
    'short',
    'x'.repeat(200),
    'spaces in it',
    'a"b\\c{d}e',
    '<script>alert(1)</script>',
  ]) {
    const response = await proxy.call(undefined, { headers: { 'x-request-id': id } })
    expect(response.headers.get('x-request-id')).toMatch(/^[0-9a-f-]{36}$/)
  }
})
