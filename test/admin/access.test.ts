import { SignJWT } from 'jose'
import { generateKeyPairSync } from 'node:crypto'
import { request } from 'node:http'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createAdminEndpoints } from '../../src/admin/admin-endpoints.ts'
import { ISSUER, startAdminServer, type AdminServer } from '../support/admin-server.ts'
import { goodClaims } from '../support/test-issuer.ts'

const endpoints = createAdminEndpoints({
  issuer: ISSUER,
  scopes: [],
  proxy: { url: 'https://ocr.example', clockSkewSeconds: 30 },
  resources: [],
  revocations: { requireNotRevoked: () => undefined },
  // Nothing is run: only what the endpoints say about themselves is looked at.
  registry: {} as never,
  store: {} as never,
  ring: () => ({ keys: [] }),
  signingKeys: {} as never,
  expiring: () => [],
  archive: undefined,
  usageSource: undefined,
  clock: Date.now,
})

let admin: AdminServer
beforeAll(async () => {
  admin = await startAdminServer()
})
afterAll(() => admin.close())

const call = (authorization?: string) =>
  fetch(`${admin.url}/admin/v1/tenants`, {
    headers: authorization === undefined ? {} : { authorization },
  })

describe('without a good token', () => {
  test('the challenge says where to begin, and names no error when no credentials came', async () => {
    const response = await call()
    expect(response.status).toBe(401)
    expect(response.headers.get('www-authenticate')).toBe(
      `Bearer resource_metadata="${admin.url}/.well-known/oauth-protected-resource"`,
    )
    expect(response.headers.get('content-type')).toContain('application/problem+json')
  })

  test.each([
    ['expired', () => admin.sign({ exp: 1_700_000_000 })],
    ['of the proxy', () => admin.sign({ aud: 'http://localhost:8080' })],
    ['of another issuer', () => admin.sign({ iss: 'https://elsewhere.example' })],
    ['bound to a key', () => admin.sign({ cnf: { jkt: 'x' } })],
    ['of a client that is not there', () => admin.sign({ client_id: 'ghost', sub: 'ghost' })],
    [
      'signed by somebody else',
      () =>
        new SignJWT(goodClaims(ISSUER, `${ISSUER}/admin`))
          .setProtectedHeader({ alg: 'RS256', typ: 'at+jwt', kid: 'theirs' })
          .sign(generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey),
    ],
    ['that is none', async () => 'open-sesame'],
  ])('a token %s is 401 invalid_token', async (_title, makeToken) => {
    const response = await call(`Bearer ${await makeToken()}`)
    expect(response.status).toBe(401)
    expect(response.headers.get('www-authenticate')).toContain('error="invalid_token"')
    expect(await response.json()).toMatchObject({ error: { code: 'invalid_token' } })
  })

  test.each(['Basic YTpi', 'Bearer', 'Bearer a b'])('%s is 401', async (authorization) => {
    expect((await call(authorization)).status).toBe(401)
  })

  test('the host that a caller makes up is not repeated to it', async () => {
    const challenge = await new Promise((resolve, reject) => {
      request(`${admin.url}/admin/v1/tenants`, { headers: { host: 'a"b c' } }, (res) => {
        res.resume()
        resolve(res.headers['www-authenticate'])
      })
        .on('error', reject)
        .end()
    })
    expect(challenge).toMatch(/^Bearer resource_metadata="http:\/\/localhost\//)
  })
})

describe('a user', () => {
  test('is let in only while active', async () => {
    const user = { username: 'operator', password: 'long enough', scope: 'admin:read' }
    const { body } = await admin.send('POST', 'users', { body: user })
    const claims = { sub: String(body['sub']), scope: 'admin:read' }
    expect((await admin.send('GET', 'tenants', { claims })).status).toBe(200)
    await admin.send('POST', `users/${String(body['sub'])}/disable`)
    expect((await admin.send('GET', 'tenants', { claims })).status).toBe(401)
  })
})

describe('a disabled client', () => {
  test('is out at once, whatever its token says', async () => {
    await admin.send('POST', 'clients', { body: { client_id: 'second', scope: 'admin:read' } })
    const claims = { client_id: 'second', sub: 'second' }
    expect((await admin.send('GET', 'tenants', { claims })).status).toBe(200)
    await admin.send('POST', 'clients/second/disable')
    expect((await admin.send('GET', 'tenants', { claims })).status).toBe(401)
  })
})

describe('scopes', () => {
  test.each(endpoints.map(({ method, path, scope }) => [method, path, scope] as const))(
    '%s %s needs %s, and no other will do',
    async (method, template, scope) => {
      const path = template
        .replace('/admin/v1/', '')
        .replace('{sub}', 'user:00000000-0000-4000-8000-000000000000')
        .replace(/\{\w+\}/g, 'x')
      for (const held of ['', 'ocr_api_access', othersThan(scope)]) {
        const answer = await admin.send(method, path, {
          claims: { scope: held },
          ...(method === 'GET' || method === 'DELETE' ? {} : { body: {} }),
        })
        expect(answer).toMatchObject({
          status: 403,
          body: { error: { code: 'insufficient_scope' } },
        })
        expect(answer.headers.get('www-authenticate')).toContain(`scope="${scope}"`)
      }
    },
  )

  function othersThan(scope: string): string {
    const all = ['admin:read', 'admin:keys', 'admin:clients', 'admin:users', 'admin:revoke']
    return all.filter((each) => each !== scope).join(' ')
  }
})

describe('power over this API', () => {
  const claims = { scope: 'admin:read admin:clients admin:users' }

  test('is gone from a live token as soon as its client has lost it', async () => {
    const body = { client_id: 'demoted', scope: 'admin:read admin:clients' }
    await admin.send('POST', 'clients', { body })
    const demoted = { client_id: 'demoted', sub: 'demoted' }
    const make = () => admin.send('POST', 'clients', { body: {}, claims: demoted })
    expect((await make()).status).toBe(201)
    await admin.send('PATCH', 'clients/demoted', { body: { scope: 'ocr_api_access' } })
    expect((await make()).status).toBe(403)
  })

  test('cannot be sent away with its tenant, or with its user, by who has less', async () => {
    await admin.send('POST', 'tenants', { body: { tenant_id: 'operators' } })
    for (const [method, path] of [
      ['POST', 'tenants/operators/suspend'],
      ['POST', 'tenants/operators/resume'],
      ['DELETE', 'tenants/operators'],
    ] as const) {
      expect([path, (await admin.send(method, path, { claims })).status]).toEqual([path, 403])
    }
    const body = { username: 'keeper', password: 'long enough', scope: 'admin:keys' }
    const { sub } = (await admin.send('POST', 'users', { body })).body
    for (const [method, path] of [
      ['POST', `users/${String(sub)}/disable`],
      ['DELETE', `users/${String(sub)}`],
    ] as const) {
      expect([path, (await admin.send(method, path, { claims })).status]).toEqual([path, 403])
    }
  })

  test('cannot be lost by changing the own client', async () => {
    for (const body of [
      { scope: 'admin:read' },
      { token_endpoint_auth_method: 'none' },
      { dpop_bound_access_tokens: true },
      { tls_client_certificate_bound_access_tokens: true },
    ]) {
      const answer = await admin.send('PATCH', 'clients/admin', { body })
      expect(answer).toMatchObject({ status: 409, body: { error: { code: 'in_use' } } })
    }
    expect(
      (await admin.send('PATCH', 'clients/admin', { body: { name: 'Operators' } })).status,
    ).toBe(200)
  })

  test('is not handed out by who does not have it', async () => {
    const body = { scope: 'ocr_api_access admin:keys' }
    expect(await admin.send('POST', 'clients', { body, claims })).toMatchObject({
      status: 403,
      body: { error: { code: 'insufficient_scope' } },
    })
    const user = { ...body, username: 'mallory', password: 'long enough' }
    expect((await admin.send('POST', 'users', { body: user, claims })).status).toBe(403)
    const allowed = { body: { scope: 'admin:clients' }, claims }
    expect((await admin.send('POST', 'clients', allowed)).status).toBe(201)
  })

  test('is not taken over from a client that has more', async () => {
    const body = { client_id: 'powerful', scope: 'admin:keys' }
    expect((await admin.send('POST', 'clients', { body })).status).toBe(201)
    for (const [method, path, sent] of [
      ['PATCH', 'clients/powerful', { name: 'x' }],
      ['POST', 'clients/powerful/secrets', {}],
      ['POST', 'clients/powerful/disable', undefined],
      ['DELETE', 'clients/powerful', undefined],
    ] as const) {
      const answer = await admin.send(method, path, {
        claims,
        ...(sent === undefined ? {} : { body: sent }),
      })
      expect(answer.status).toBe(403)
    }
  })
})

describe('what everybody may read', () => {
  test('is how to get in (RFC 9728)', async () => {
    const response = await fetch(`${admin.url}/.well-known/oauth-protected-resource`)
    expect(await response.json()).toMatchObject({
      resource: `${ISSUER}/admin`,
      authorization_servers: [ISSUER],
      scopes_supported: expect.arrayContaining(['admin:read', 'admin:clients']),
    })
  })

  test('is the OpenAPI document, which has every endpoint, its scope and its body', async () => {
    const response = await fetch(`${admin.url}/admin/v1/openapi.json`)
    const document = (await response.json()) as { paths: Record<string, object> }
    expect(document).toMatchObject({
      openapi: '3.1.0',
      paths: {
        '/admin/v1/clients': {
          post: {
            operationId: 'admin.clients.create',
            security: [{ adminToken: ['admin:clients'] }],
            requestBody: {
              content: {
                'application/json': {
                  schema: {
                    properties: { client_id: { type: 'string' } },
                    additionalProperties: false,
                  },
                },
              },
            },
            responses: { 201: {}, default: {} },
          },
          get: {
            parameters: [
              { name: 'limit', in: 'query', schema: { type: 'integer', maximum: 1000 } },
              { name: 'cursor' },
              {},
            ],
          },
        },
      },
    })
    expect(new Set(Object.keys(document.paths))).toEqual(new Set(endpoints.map(({ path }) => path)))
  })
})
