import { SignJWT, importJWK } from 'jose'
import { generateKeyPairSync, randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { loadOrCreateClientKey, type ClientKey } from '../../src/keys/client-key-file.ts'
import { inspectToken } from '../../src/tokens/inspect.ts'
import { startGatehouse, type Gatehouse } from '../support/gatehouse.ts'

let gatehouse: Gatehouse
let key: ClientKey
let issuer: string
let resource: string
beforeAll(async () => {
  gatehouse = await startGatehouse('http://localhost:1')
  issuer = gatehouse.config.issuer.url
  resource = `${issuer}/admin`
  key = await loadOrCreateClientKey(join(gatehouse.config.keys.dir, 'admin.jwk'))
})
afterAll(() => gatehouse.close())

const inSeconds = (seconds: number) => Math.floor(Date.now() / 1000) + seconds

async function assertion(
  claims: Record<string, unknown> = {},
  signer?: Parameters<SignJWT['sign']>[0],
) {
  const good = { iss: 'admin', sub: 'admin', aud: issuer, jti: randomUUID(), exp: inSeconds(60) }
  return new SignJWT({ ...good, ...claims })
    .setProtectedHeader({ alg: 'ES256', kid: key.kid })
    .sign(signer ?? (await importJWK(key, 'ES256')))
}

async function present(client_assertion: string, parameters: Record<string, string> = {}) {
  const response = await fetch(`${issuer}/token`, {
    method: 'POST',
    body: new URLSearchParams({
      grant_type: 'client_credentials',
      client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
      client_assertion,
      resource,
      ...parameters,
    }),
  })
  return { status: response.status, body: (await response.json()) as Record<string, unknown> }
}

describe('a client assertion (RFC 7523 §3)', () => {
  test('gets an admin token with the five scopes', async () => {
    const { status, body } = await present(await assertion())
    expect(status).toBe(200)
    expect(inspectToken(String(body['access_token'])).payload).toMatchObject({
      aud: resource,
      sub: 'admin',
      client_id: 'admin',
      scope: 'admin:read admin:keys admin:clients admin:users admin:revoke',
    })
  })

  test('counts once, also when it comes ten times at the same time', async () => {
    const one = await assertion()
    const answers = await Promise.all(Array.from({ length: 10 }, () => present(one)))
    const statuses = answers.map(({ status }) => status)
    expect(statuses.filter((status) => status === 200)).toHaveLength(1)
    expect(statuses.filter((status) => status === 401)).toHaveLength(9)
    expect((await present(one)).body).toMatchObject({ error: 'invalid_client' })
  })

  test.each([
    ['for the token endpoint', () => ({ aud: `${issuer}/token` })],
    ['for a list, even of the issuer alone', () => ({ aud: [issuer] })],
    ['for the issuer and somebody else', () => ({ aud: [issuer, 'https://elsewhere.example'] })],
    ['for somebody else', () => ({ aud: 'https://elsewhere.example' })],
    ['by another issuer', () => ({ iss: 'robot' })],
    ['about another client', () => ({ sub: 'robot' })],
    ['that has expired', () => ({ exp: inSeconds(-1) })],
    ['that never expires', () => ({ exp: undefined })],
    ['that expires in a year', () => ({ exp: inSeconds(31_536_000) })],
    ['that cannot be told from another', () => ({ jti: undefined })],
    ['whose jti is no string', () => ({ jti: 5 })],
    ['whose jti is endless', () => ({ jti: 'x'.repeat(1000) })],
    ['that is not valid yet', () => ({ nbf: inSeconds(3600) })],
  ])('%s is refused', async (_title, claims) => {
    const { status, body } = await present(await assertion(claims()))
    expect({ status, body }).toMatchObject({ status: 401, body: { error: 'invalid_client' } })
  })

  test('signed with another key under the same kid is refused', async () => {
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    expect((await present(await assertion({}, privateKey))).status).toBe(401)
  })

  test('with nothing signed is refused', async () => {
    const [, claims] = (await assertion()).split('.')
    for (const alg of ['none', 'None', 'HS256']) {
      const header = Buffer.from(JSON.stringify({ alg, kid: key.kid })).toString('base64url')
      expect((await present(`${header}.${claims}.`)).status).toBe(401)
    }
  })

  test('is what this client must use: a secret will not do', async () => {
    const response = await gatehouse.requestToken({ clientId: 'admin', clientSecret: 'x' })
    expect(response.status).toBe(401)
  })
})

describe('admin tokens', () => {
  test('are not for a client that was given none of the scopes', async () => {
    const client = await gatehouse.createClient()
    const refused = await gatehouse.requestToken(client, { resource, scope: 'admin:read' })
    expect(await refused.json()).toMatchObject({ error: 'invalid_scope' })
    const empty = await gatehouse.requestToken(client, { resource })
    const { access_token: token } = (await empty.json()) as Record<string, unknown>
    const response = await fetch(`http://${gatehouse.config.admin.listen}/admin/v1/tenants`, {
      headers: { authorization: `Bearer ${String(token)}` },
    })
    expect(response.status).toBe(403)
  })

  test('do not open the proxy, nor the tokens of the proxy the admin API', async () => {
    const { body } = await present(await assertion())
    const atProxy = await fetch(`${gatehouse.config.proxy.url}/v1/models`, {
      headers: { authorization: `Bearer ${String(body['access_token'])}` },
    })
    expect(atProxy.status).toBe(401)
    const response = await fetch(`http://${gatehouse.config.admin.listen}/admin/v1/tenants`, {
      headers: { authorization: `Bearer ${await gatehouse.issueToken()}` },
    })
    expect(response.status).toBe(401)
  })
})
