import { createRemoteJWKSet, decodeJwt, decodeProtectedHeader, jwtVerify, type JWK } from 'jose'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { NewClientRequest } from '../../src/registry/client.ts'
import { startGatehouse, type Gatehouse } from '../support/gatehouse.ts'
import { startModelServer, type ModelServer } from '../support/model-server.ts'
import { exchangeRaw, statusOf } from '../support/raw-http.ts'

let model: ModelServer
let gatehouse: Gatehouse
let client: { clientId: string; clientSecret: string }
let issuer: string

const OTHER_RESOURCE = 'https://archive.example/api'

beforeAll(async () => {
  model = await startModelServer()
  gatehouse = await startGatehouse(model.url)
  issuer = gatehouse.config.issuer.url
  client = await gatehouse.createClient({ tenant_id: 'acme', limits: { rpm: 60, concurrency: 4 } })
})
afterAll(async () => {
  await gatehouse.close()
  await model.close()
})

const postToken = (headers: Record<string, string>, body: string) =>
  fetch(`${issuer}/token`, {
    method: 'POST',
    headers: { 'content-type': 'application/x-www-form-urlencoded', ...headers },
    body,
  })
const basic = ({ clientId, clientSecret }: typeof client) =>
  `Basic ${Buffer.from(`${clientId}:${clientSecret}`).toString('base64')}`

async function expectRefusal(response: Response, status: number, error: string): Promise<void> {
  const body = (await response.json()) as Record<string, unknown>
  expect([response.status, body['error']]).toEqual([status, error])
  expect(response.headers.get('content-type')).toContain('application/json')
  expect(response.headers.get('cache-control')).toBe('no-store')
}

describe('an access token', () => {
  test('is an RFC 9068 JWT that anyone can verify with the published keys', async () => {
    const response = await gatehouse.requestToken(client)
    const { access_token: token } = (await response.json()) as { access_token: string }
    const jwks = createRemoteJWKSet(new URL(`${issuer}/jwks`))
    const { payload, protectedHeader } = await jwtVerify(token, jwks, {
      issuer,
      audience: gatehouse.config.proxy.url,
      typ: 'at+jwt',
    })
    const { keys } = (await (await fetch(`${issuer}/jwks`)).json()) as { keys: { kid: string }[] }
    expect(protectedHeader).toEqual({ alg: 'RS256', typ: 'at+jwt', kid: keys[0]?.kid })
    expect(payload).toEqual({
      iss: issuer,
      aud: gatehouse.config.proxy.url,
      sub: client.clientId,
      client_id: client.clientId,
      tenant_id: 'acme',
      limits: { client: { rpm: 60, concurrency: 4 } },
      scope: 'ocr_api_access',
      jti: expect.stringMatching(/^[\w-]{20,}$/),
      iat: expect.any(Number),
      exp: Number(payload.iat) + 900,
    })
  })

  test('is issued to a client that sends its secret in the body as well', async () => {
    const { clientId, clientSecret } = client
    const response = await postToken(
      {},
      new URLSearchParams({
        grant_type: 'client_credentials',
        client_id: clientId,
        client_secret: clientSecret,
      }).toString(),
    )
    expect(response.status).toBe(200)
  })

  test('is issued to a client that was made while the issuer runs', async () => {
    expect(await gatehouse.issueToken()).toMatch(/^eyJ/)
  })

  test('carries the limits of its tenant, and those of the client instead where it has any', async () => {
    const tenantId = 'limited'
    const limits = { subject: { rpm: 5 }, client: { rpm: 50 }, tenant: { rpm: 500 }, weight: 2 }
    await gatehouse.registry.tenants.create({ tenant_id: tenantId, name: '', limits })
    const claimOf = async (request: NewClientRequest) =>
      decodeJwt(await gatehouse.issueToken({}, { tenant_id: tenantId, ...request }))['limits']
    expect(await claimOf({})).toEqual(limits)
    const own = { limits: { concurrency: 1 }, subject_limits: { rpm: 6 } }
    expect(await claimOf(own)).toEqual({
      ...limits,
      client: { concurrency: 1 },
      subject: { rpm: 6 },
    })
  })

  test('has the lifetime and the resources of the configuration', async () => {
    const resources = JSON.stringify({ [OTHER_RESOURCE]: { scopes: ['archive'] } })
    const other = await startGatehouse(model.url, [
      `tokens.accessTtlSeconds=60`,
      `resources=${resources}`,
    ])
    const made = await other.createClient({ scope: 'archive' })
    const response = await other.requestToken(made, { resource: OTHER_RESOURCE })
    expect(await response.json()).toMatchObject({ expires_in: 60, scope: 'archive' })
    await other.close()
  })
})

describe('a token request is refused', () => {
  test('for a resource that is not among those of the client', async () => {
    const made = await gatehouse.createClient({ resources: [OTHER_RESOURCE] })
    await expectRefusal(await gatehouse.requestToken(made), 400, 'invalid_target')
  })

  test.each([
    ['an unknown scope', { scope: 'root' }, 400, 'invalid_scope'],
    ['a known scope beside an unknown one', { scope: 'ocr_api_access root' }, 400, 'invalid_scope'],
    ['a scope with control characters', { scope: 'ocr_api_access\u0001' }, 400, 'invalid_scope'],
    ['an unknown resource', { resource: 'https://elsewhere.example' }, 400, 'invalid_target'],
    [
      'a resource with a fragment',
      { resource: 'https://elsewhere.example/#x' },
      400,
      'invalid_target',
    ],
    ['a resource that is no URI', { resource: 'ocr' }, 400, 'invalid_target'],
    ['an inherited property as a resource', { resource: '__proto__' }, 400, 'invalid_target'],
    ['an unknown grant', { grant_type: 'password' }, 400, 'unsupported_grant_type'],
    ['an empty grant', { grant_type: '' }, 400, 'invalid_request'],
  ])('for %s', async (_what, parameters: Record<string, string>, status, error) => {
    await expectRefusal(await gatehouse.requestToken(client, parameters), status, error)
  })

  test('for a wrong secret and for an unknown client alike', async () => {
    const wrong = await gatehouse.requestToken({ ...client, clientSecret: 'wrong' })
    expect(wrong.headers.get('www-authenticate')).toContain('Basic')
    await expectRefusal(wrong, 401, 'invalid_client')
    for (const clientId of ['nobody', '../clients/x', '.', 'a'.repeat(200)]) {
      await expectRefusal(
        await gatehouse.requestToken({ clientId, clientSecret: 'x' }),
        401,
        'invalid_client',
      )
    }
  })

  test('for no client at all', async () => {
    await expectRefusal(
      await postToken({}, 'grant_type=client_credentials'),
      400,
      'invalid_request',
    )
  })

  test('for two ways of authentication in one request', async () => {
    const body = `grant_type=client_credentials&client_id=${client.clientId}&client_secret=${client.clientSecret}`
    await expectRefusal(
      await postToken({ authorization: basic(client) }, body),
      400,
      'invalid_request',
    )
  })

  test('for a repeated parameter', async () => {
    const body = 'grant_type=client_credentials&scope=ocr_api_access&scope=ocr_api_access'
    await expectRefusal(
      await postToken({ authorization: basic(client) }, body),
      400,
      'invalid_request',
    )
  })

  test('for JSON, for a huge body, and in the URL', async () => {
    const json = await postToken(
      { authorization: basic(client), 'content-type': 'application/json' },
      '{"grant_type":"client_credentials"}',
    )
    expect(json.status).toBe(400)
    const huge = await postToken(
      { authorization: basic(client) },
      `grant_type=${'x'.repeat(2_000_000)}`,
    )
    expect([400, 413]).toContain(huge.status)
    const inUrl = await fetch(
      `${issuer}/token?client_id=${client.clientId}&client_secret=${client.clientSecret}&grant_type=client_credentials`,
      { method: 'POST' },
    )
    expect(inUrl.status).toBe(400)
  })

  test('for two Authorization headers, and for credentials in the address beside good ones', async () => {
    const port = Number(new URL(issuer).port)
    const body = 'grant_type=client_credentials'
    const ask = (path: string, authorizations: string[]) =>
      exchangeRaw(
        port,
        [
          `POST ${path} HTTP/1.1`,
          'Host: x',
          ...authorizations.map((value) => `Authorization: ${value}`),
          'Content-Type: application/x-www-form-urlencoded',
          `Content-Length: ${body.length}`,
          '',
          body,
        ].join('\r\n'),
      )
    for (const answer of [
      await ask('/token', [basic(client), 'Basic eDp5']),
      await ask(`/token?client_secret=${client.clientSecret}`, [basic(client)]),
    ]) {
      expect(statusOf(answer)).toBe(400)
      expect(answer).toContain('"error":"invalid_request"')
    }
  })

  test('with an unknown parameter it is not: that one is ignored', async () => {
    expect((await gatehouse.requestToken(client, { colour: 'blue' })).status).toBe(200)
  })

  test('every request is logged once, with its reason and without a secret', async () => {
    await gatehouse.requestToken(client, { scope: 'root' })
    const line = gatehouse.logged.findLast((entry) => entry['event'] === 'token.refused')
    expect(line).toMatchObject({
      decision: 'deny',
      reason: 'invalid_scope',
      client_id: client.clientId,
    })
    const issued = gatehouse.logged.findLast((entry) => entry['event'] === 'token.issued')
    expect(issued).toMatchObject({
      decision: 'allow',
      grant_type: 'client_credentials',
      tenant_id: 'acme',
    })
    expect(issued?.['jti']).toEqual(expect.any(String))
    expect(JSON.stringify(gatehouse.logged)).not.toContain(client.clientSecret)
    expect(JSON.stringify(gatehouse.logged)).not.toMatch(/eyJ[\w-]{20}/)
  })
})

describe('RFC 8414 metadata', () => {
  test.each(['/.well-known/openid-configuration', '/.well-known/oauth-authorization-server'])(
    'at %s names the configured issuer and only what is served',
    async (path) => {
      const response = await fetch(`${issuer}${path}`)
      expect(response.headers.get('cache-control')).toBe('public, max-age=3600')
      const metadata = (await response.json()) as Record<string, unknown>
      expect(metadata).toMatchObject({
        issuer,
        token_endpoint: `${issuer}/token`,
        jwks_uri: `${issuer}/jwks`,
        authorization_endpoint: `${issuer}/auth`,
        device_authorization_endpoint: `${issuer}/device/auth`,
        pushed_authorization_request_endpoint: `${issuer}/request`,
        end_session_endpoint: `${issuer}/session/end`,
        authorization_response_iss_parameter_supported: true,
        code_challenge_methods_supported: ['S256'],
        response_types_supported: ['code'],
        grant_types_supported: expect.toSatisfy(
          (grants: string[]) =>
            [...grants].sort().join(' ') ===
            'authorization_code client_credentials refresh_token urn:ietf:params:oauth:grant-type:device_code',
        ),
        token_endpoint_auth_methods_supported: [
          'client_secret_basic',
          'client_secret_post',
          'private_key_jwt',
          'tls_client_auth',
          'self_signed_tls_client_auth',
          'none',
        ],
        scopes_supported: expect.arrayContaining(['ocr_api_access', 'admin:read']),
      })
      const algorithms = Object.entries(metadata).filter(([name]) => name.includes('_alg_values_'))
      expect(algorithms.length).toBeGreaterThan(0)
      expect(JSON.stringify(algorithms)).not.toContain('none')
    },
  )

  test("is not built from the request's Host or forwarded headers", async () => {
    const port = Number(new URL(issuer).port)
    const answer = await exchangeRaw(
      port,
      [
        'GET /.well-known/openid-configuration HTTP/1.1',
        'Host: evil.example',
        'X-Forwarded-Host: evil.example',
        'X-Forwarded-Proto: gopher',
        'Forwarded: host=evil.example',
        '',
        '',
      ].join('\r\n'),
    )
    expect(statusOf(answer)).toBe(200)
    expect(answer).not.toContain('evil')
    expect(answer).not.toContain('gopher')
  })
})

describe('the JWKS', () => {
  test('has a max-age and no private member', async () => {
    const response = await fetch(`${issuer}/jwks`)
    expect(response.headers.get('cache-control')).toContain('public, max-age=300')
    expect(response.headers.get('content-type')).toContain('application/jwk-set+json')
    const { keys } = (await response.json()) as { keys: Record<string, unknown>[] }
    expect(keys).toHaveLength(2)
    for (const key of keys)
      expect(Object.keys(key).sort()).toEqual(['alg', 'e', 'kid', 'kty', 'n', 'use'])
  })

  test('has RSA keys of 2048 bits or more, each under a kid of its own and for one algorithm', async () => {
    const { keys } = (await (await fetch(`${issuer}/jwks`)).json()) as { keys: JWK[] }
    expect(new Set(keys.map(({ kid }) => kid)).size).toBe(keys.length)
    for (const { kty, alg, use, n = '' } of keys) {
      expect({ kty, alg, use }).toEqual({ kty: 'RSA', alg: 'RS256', use: 'sig' })
      expect(Buffer.from(n, 'base64url').length * 8).toBeGreaterThanOrEqual(2048)
    }
  })

  test('begins with the key that signs', async () => {
    const { keys } = (await (await fetch(`${issuer}/jwks`)).json()) as { keys: { kid: string }[] }
    expect(decodeProtectedHeader(await gatehouse.issueToken()).kid).toBe(keys[0]?.kid)
  })
})

describe('what is not offered', () => {
  test.each(['/reg', '/', '/token/', '/interaction/x'])('%s is 404', async (path) => {
    const response = await fetch(`${issuer}${path}`)
    expect(response.status).toBe(404)
    expect(await response.json()).toMatchObject({ type: 'urn:gatehouse:error:not_found' })
  })

  test('the token endpoint takes POST alone, and no browser of another origin', async () => {
    for (const method of ['GET', 'PUT', 'DELETE', 'OPTIONS']) {
      const response = await fetch(`${issuer}/token`, {
        method,
        headers: { origin: 'https://evil.example' },
      })
      expect([response.status, response.headers.get('allow')]).toEqual([405, 'POST'])
      expect(response.headers.get('access-control-allow-origin')).toBeNull()
    }
  })
})

test('the ops listener tells of the issuer, and counts', async () => {
  const ops = `http://${gatehouse.config.issuer.opsListen}`
  expect(await (await fetch(`${ops}/readyz`)).json()).toEqual({
    status: 'ok',
    checks: Object.fromEntries(
      ['serving', 'keys', 'store', 'revocations', 'audit'].map((name) => [name, { status: 'ok' }]),
    ),
  })
  const metrics = await (await fetch(`${ops}/metrics`)).text()
  expect(metrics).toMatch(/gatehouse_tokens_issued_total\{grant="client_credentials"\} \d+/)
  expect(metrics).toMatch(/gatehouse_token_requests_refused_total\{reason="invalid_scope"\} \d+/)
})
