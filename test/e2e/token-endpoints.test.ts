import { createRemoteJWKSet, decodeJwt, decodeProtectedHeader, jwtVerify } from 'jose'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startGatehouse, type Gatehouse } from '../support/gatehouse.ts'
import { startModelServer, type ModelServer } from '../support/model-server.ts'
import { exchangeRaw, statusOf } from '../support/raw-http.ts'
import { waitUntil } from '../support/wait-until.ts'

type Credentials = { clientId: string; clientSecret: string }

const ARCHIVE = 'https://archive.example/api'
let model: ModelServer
let gatehouse: Gatehouse
let owner: Credentials
let stranger: Credentials
let archive: Credentials
beforeAll(async () => {
  model = await startModelServer()
  const resources = {
    [ARCHIVE]: { scopes: ['archive:read'], introspectors: ['archive'] },
  }
  gatehouse = await startGatehouse(model.url, [`resources=${JSON.stringify(resources)}`])
  owner = await gatehouse.createClient({ client_id: 'owner', scope: 'archive:read' })
  stranger = await gatehouse.createClient({ client_id: 'stranger', scope: 'archive:read' })
  archive = await gatehouse.createClient({ client_id: 'archive', scope: 'archive:read' })
})
afterAll(async () => {
  await gatehouse.close()
  await model.close()
})

const tokenOf = async (client: Credentials): Promise<string> => {
  const response = await gatehouse.requestToken(client, { resource: ARCHIVE })
  return ((await response.json()) as { access_token: string }).access_token
}
const post = (
  endpoint: 'revocation' | 'introspection',
  client: Credentials | undefined,
  token: string,
  headers: Record<string, string> = {},
) =>
  fetch(`${gatehouse.config.issuer.url}/token/${endpoint}`, {
    method: 'POST',
    headers: {
      ...(client && {
        authorization: `Basic ${Buffer.from(`${client.clientId}:${client.clientSecret}`).toString('base64')}`,
      }),
      ...headers,
    },
    body: new URLSearchParams({ token }),
  })
const introspect = async (client: Credentials, token: string) =>
  (await (await post('introspection', client, token)).json()) as Record<string, unknown>
const INACTIVE = { active: false }

describe('introspection (RFC 7662)', () => {
  test('tells the client of a token, and the introspector of its resource, all that it says', async () => {
    const token = await tokenOf(owner)
    const claims = decodeJwt(token)
    const expected = { ...claims, active: true, token_type: 'Bearer' }
    expect(await introspect(owner, token)).toEqual(expected)
    expect(await introspect(archive, token)).toEqual(expected)
  })

  test('tells everybody else exactly that it is not active', async () => {
    const token = await tokenOf(owner)
    expect(await introspect(stranger, token)).toEqual(INACTIVE)
    for (const other of ['no-token', `${token.slice(0, -8)}AAAAAAAA`, `${token}x`, 'a.b.c']) {
      expect(await introspect(owner, other)).toEqual(INACTIVE)
    }
  })

  test('tells nothing without authentication, and takes no credentials in the address', async () => {
    const token = await tokenOf(owner)
    for (const endpoint of ['introspection', 'revocation'] as const) {
      expect((await post(endpoint, undefined, token)).status).toBe(400)
      const wrong = await post(endpoint, { ...owner, clientSecret: 'wrong' }, token)
      expect([wrong.status, wrong.headers.has('www-authenticate')]).toEqual([401, true])
      const { issuer } = gatehouse.config
      const inAddress = `${issuer.url}/token/${endpoint}?client_id=owner&client_secret=x`
      const body = new URLSearchParams({ token })
      expect((await fetch(inAddress, { method: 'POST', body })).status).toBe(400)
      const get = await exchangeRaw(
        Number(new URL(issuer.url).port),
        `GET /token/${endpoint} HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n`,
      )
      expect(statusOf(get)).toBe(405)
    }
    expect(await introspect(owner, token)).toMatchObject({ active: true })
  })

  test('is signed for whoever asks for that, for the caller alone (RFC 9701)', async () => {
    const { url } = gatehouse.config.issuer
    const token = await tokenOf(owner)
    const type = 'application/token-introspection+jwt'
    for (const [client, isActive] of [
      [archive, true],
      [stranger, false],
    ] as const) {
      const response = await post('introspection', client, token, { accept: type })
      expect(response.headers.get('content-type')).toBe(type)
      expect(response.headers.get('cache-control')).toBe('no-store')
      const jwks = createRemoteJWKSet(new URL(`${url}/jwks`))
      const { payload } = await jwtVerify(await response.text(), jwks, {
        issuer: url,
        audience: client.clientId,
        typ: 'token-introspection+jwt',
      })
      expect(payload).toEqual({
        iss: url,
        aud: client.clientId,
        iat: expect.any(Number),
        token_introspection: isActive
          ? { ...decodeJwt(token), active: true, token_type: 'Bearer' }
          : INACTIVE,
      })
    }
  })

  test('of a signed introspection says that it is no access token', async () => {
    const accept = 'application/token-introspection+jwt'
    const response = await post('introspection', owner, await tokenOf(owner), { accept })
    expect(await introspect(owner, await response.text())).toEqual(INACTIVE)
  })
})

describe('revocation (RFC 7009)', () => {
  test('ends a JWT: it is not active any more, and its line names it and not the token', async () => {
    const token = await tokenOf(owner)
    const { jti } = decodeJwt(token)
    const answer = await post('revocation', owner, token)
    expect([answer.status, await answer.text()]).toEqual([200, ''])
    await waitUntil('the end of it', async () => !(await introspect(owner, token))['active'])
    expect(await introspect(owner, token)).toEqual(INACTIVE)
    const line = gatehouse.logged.findLast((each) => each['event'] === 'token.revoked')
    expect(line).toMatchObject({ decision: 'allow', client_id: 'owner', jti })
    expect(JSON.stringify(gatehouse.logged)).not.toContain(token)
  })

  test('answers 200 for what is unknown, malformed or revoked already', async () => {
    const token = await tokenOf(owner)
    for (const each of [token, token, 'no-token', 'a.b.c', 'x'.repeat(5000)]) {
      expect((await post('revocation', owner, each)).status).toBe(200)
    }
  })

  test('leaves the token of another client as it is, also to an introspector', async () => {
    const token = await tokenOf(owner)
    for (const client of [stranger, archive]) {
      expect((await post('revocation', client, token)).status).toBe(200)
    }
    // Entries are heard in order: once a later one counts, an earlier one would.
    const later = await tokenOf(owner)
    await post('revocation', owner, later)
    await waitUntil('the later one', async () => !(await introspect(owner, later))['active'])
    expect(await introspect(owner, token)).toMatchObject({ active: true })
  })
})

test('the metadata names both endpoints, and userinfo', async () => {
  const { url } = gatehouse.config.issuer
  const metadata = await (await fetch(`${url}/.well-known/oauth-authorization-server`)).json()
  expect(metadata).toMatchObject({
    introspection_endpoint: `${url}/token/introspection`,
    revocation_endpoint: `${url}/token/revocation`,
    introspection_signing_alg_values_supported: ['RS256'],
    userinfo_endpoint: `${url}/me`,
  })
  expect(decodeProtectedHeader(await tokenOf(owner))['alg']).toBe('RS256')
})
