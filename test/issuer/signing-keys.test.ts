import { createLocalJWKSet, jwtVerify } from 'jose'
import { createServer } from 'node:http'
import { BlockList } from 'node:net'
import { createPublicKey, randomBytes, verify } from 'node:crypto'
import { afterAll, expect, test } from 'vitest'
import { createIssuerMetrics } from '../../src/issuer/metrics.ts'
import { loadOidcProvider } from '../../src/issuer/oidc-provider.ts'
import { mutualTls } from '../../src/issuer/mutual-tls.ts'
import { createProvider } from '../../src/issuer/provider.ts'
import { signingKeysOf } from '../../src/issuer/signing-keys.ts'
import { createLog } from '../../src/kernel/log.ts'
import { createMetricsRegistry } from '../../src/kernel/metrics.ts'
import type { KeyHome } from '../../src/keys/key-home.ts'
import { promoteNext } from '../../src/keys/lifecycle.ts'
import { createRing, publicJwks, type Ring } from '../../src/keys/ring.ts'
import { newClientSchema } from '../../src/registry/client.ts'
import { createRegistry } from '../../src/registry/create-registry.ts'
import { createGuessLimits } from '../../src/registry/guess-limits.ts'
import { newTenantSchema } from '../../src/registry/tenant.ts'
import { createClosedHome } from '../support/closed-home.ts'
import { makeFakeKey, makeRsaKey } from '../support/ring-keys.ts'
import { openTestSqlite } from '../support/stores.ts'

const RESOURCE = 'http://localhost:8080'
const DATA = Buffer.from('header.payload')
const closing: (() => Promise<void>)[] = []
afterAll(() => Promise.all(closing.map((close) => close())))

/** What an issuer with that ring answers to a token request. */
async function requestToken(ring: Ring, keyHome?: KeyHome) {
  const opened = await openTestSqlite(Date.now)
  closing.push(opened.stop)
  const registry = createRegistry({ ...opened, clock: Date.now, maxFailuresPerMinute: 30 })
  await registry.tenants.create(newTenantSchema.parse({ tenant_id: 'default' }))
  const { client, clientSecret } = await registry.clients.create(newClientSchema.parse({}))
  const provider = await createProvider(ring, {
    ownTokens: { findLive: async () => undefined },
    issuer: 'http://localhost:9000',
    secrets: {
      cookieKey: randomBytes(32),
      dpopNonceKey: randomBytes(32),
      refreshKey: randomBytes(32),
      storedTokenKey: randomBytes(32),
      formKey: randomBytes(32),
    },
    clients: registry.clients,
    codeGuesses: createGuessLimits(Date.now, 30),
    users: registry.users,
    store: opened.store,
    clock: Date.now,
    resources: { [RESOURCE]: { scopes: ['ocr_api_access'] } },
    defaultResource: RESOURCE,
    accessTokenTtlSeconds: 900,
    mutualTls: mutualTls({
      trustedProxies: new BlockList(),
      clientCa: () => undefined,
      clock: Date.now,
    }),
    fetchClientJwks: () => Promise.reject(new Error('nobody asks for keys')),
    refreshTokenTtlSeconds: 1_209_600,
    log: createLog('silent'),
    metrics: createIssuerMetrics(createMetricsRegistry()),
    keyHome,
  })
  const server = createServer(provider.callback())
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  closing.push(() => new Promise((resolve) => server.close(() => resolve())))
  const address = server.address()
  const port = address === null || typeof address === 'string' ? 0 : address.port
  const credentials = Buffer.from(`${client.client_id}:${clientSecret}`).toString('base64')
  return fetch(`http://127.0.0.1:${port}/token`, {
    method: 'POST',
    headers: { authorization: `Basic ${credentials}`, 'x-forwarded-proto': 'https' },
    body: new URLSearchParams({ grant_type: 'client_credentials' }),
  })
}

test('an active key that lives in a home signs there, and the JWKS verifies what it signed', async () => {
  const home = createClosedHome()
  const ring = createRing(await home.makeKey(), await home.makeKey(), 0)
  expect(JSON.stringify(ring)).not.toContain('"d"')
  const response = await requestToken(ring, home)
  const { access_token } = (await response.json()) as { access_token: string }
  const jwks = createLocalJWKSet(publicJwks(ring))
  const { protectedHeader } = await jwtVerify(access_token, jwks, { audience: RESOURCE })
  expect(protectedHeader).toMatchObject({ alg: 'RS256', typ: 'at+jwt', kid: ring.keys[0]?.kid })
})

test('no provider is built for a key whose home is not at hand', async () => {
  const home = createClosedHome()
  const ring = createRing(await home.makeKey(), await home.makeKey(), 0)
  await expect(requestToken(ring)).rejects.toThrow('closed, which is not at hand')
})

test('the active key signs RS256 under its kid, and shows no private member', async () => {
  const active = await makeRsaKey(2048)
  const ring = createRing(active, makeFakeKey('next'), 0)
  const [key, ...others] = signingKeysOf(ring, undefined, await loadOidcProvider())
  expect(others).toEqual([])
  expect(key).toMatchObject({ kid: active.kid, alg: 'RS256', use: 'sig', kty: 'RSA' })
  const publicKey = createPublicKey({ key: active.publicJwk, format: 'jwk' })
  expect(verify('RSA-SHA256', DATA, publicKey, (await key?.sign(DATA)) ?? DATA)).toBe(true)
  expect(key?.keyObject()).toMatchObject({ type: 'public' })
})

test('a retiring key is still there to verify with, and does not sign', async () => {
  const [first, second] = [await makeRsaKey(2048), await makeRsaKey(2048)]
  const rotation = { now: 1000, jwksMaxAgeSeconds: 300 }
  const ring = promoteNext(createRing(first, second, 0), makeFakeKey('third'), rotation)
  const keys = ring && signingKeysOf(ring, undefined, await loadOidcProvider())
  expect(keys?.map(({ kid }) => kid)).toEqual([second.kid, first.kid])
  await expect(keys?.[1]?.sign(DATA)).rejects.toThrow('a retiring key does not sign')
})
