import { importJWK, SignJWT, type JWK, type JWTPayload } from 'jose'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { newUserSchema, type User } from '../../src/registry/user.ts'
import { createDpopClient } from '../support/dpop-client.ts'
import { startGatehouse, type Gatehouse } from '../support/gatehouse.ts'
import { startModelServer, type ModelServer } from '../support/model-server.ts'
import { goodClaims } from '../support/test-issuer.ts'
import { waitUntil } from '../support/wait-until.ts'

let model: ModelServer
let gatehouse: Gatehouse
let user: User
let me: string
/** An access token of the running issuer, as a sign-in would give it. */
let sign: (claims?: JWTPayload) => Promise<string>
beforeAll(async () => {
  model = await startModelServer()
  gatehouse = await startGatehouse(model.url)
  const { config, dir, registry } = gatehouse
  me = `${config.issuer.url}/me`
  user = await registry.users.create(
    newUserSchema.parse({ username: 'mei', name: 'Mei', password: 'long enough' }),
  )
  const ring = JSON.parse(await readFile(join(dir, 'keys', 'ring.json'), 'utf8')) as {
    keys: { state: string; kid: string; privateJwk: JWK }[]
  }
  const active = ring.keys.find(({ state }) => state === 'active')
  const key = await importJWK(active?.privateJwk ?? {}, 'RS256')
  sign = (claims) =>
    new SignJWT({
      ...goodClaims(config.issuer.url, config.proxy.url),
      sub: user.sub,
      scope: 'openid ocr_api_access',
      ...claims,
    })
      .setProtectedHeader({ alg: 'RS256', typ: 'at+jwt', kid: active?.kid ?? '' })
      .sign(key)
})
afterAll(async () => {
  await gatehouse.close()
  await model.close()
})

const ask = (authorization?: string, init: RequestInit = {}) => {
  const headers = new Headers(init.headers)
  if (authorization !== undefined) headers.set('authorization', authorization)
  return fetch(me, { ...init, headers })
}

describe('GET and POST /me', () => {
  test.each(['GET', 'POST'])(
    '%s tells who signed in, and more to the scope profile',
    async (method) => {
      const plain = await ask(`Bearer ${await sign()}`, { method })
      expect([plain.status, await plain.json()]).toEqual([200, { sub: user.sub }])
      expect(plain.headers.get('cache-control')).toBe('no-store')
      const withProfile = await ask(`Bearer ${await sign({ scope: 'openid profile' })}`, { method })
      const profile = { sub: user.sub, preferred_username: 'mei', name: 'Mei' }
      expect(await withProfile.json()).toEqual(profile)
    },
  )

  test('take a bound token with a proof of its key, once, and offer no way around it', async () => {
    const client = await createDpopClient(Date.now)
    const token = await sign({ cnf: { jkt: client.jkt } })
    const dpop = await client.prove({ method: 'GET', uri: me, accessToken: token })
    const withProof = () => ask(`DPoP ${token}`, { headers: { dpop } })
    expect((await withProof()).status).toBe(200)
    const replayed = await withProof()
    expect(replayed.status).toBe(401)
    expect(replayed.headers.get('www-authenticate')).toContain('error="invalid_dpop_proof"')
    expect((await ask(`Bearer ${token}`)).status).toBe(401)
    expect((await ask(`DPoP ${await sign()}`, { headers: { dpop } })).status).toBe(401)
  })

  test('without credentials name no error', async () => {
    const { status, headers } = await ask()
    expect([status, headers.get('www-authenticate')]).toEqual([
      401,
      expect.stringMatching(/^Bearer, DPoP algs="[^"]+"$/),
    ])
  })

  test.each([
    ['expired', { exp: 1_700_000_000 }, 401, 'invalid_token'],
    ['for nobody that we know', { aud: 'https://elsewhere.example' }, 401, 'invalid_token'],
    ['of a client for itself', { sub: 'robot' }, 401, 'invalid_token'],
    ['without openid', { scope: 'ocr_api_access' }, 403, 'insufficient_scope'],
  ])('refuse a token that is %s', async (_title, claims, status, code) => {
    const response = await ask(`Bearer ${await sign(claims)}`)
    expect(response.status).toBe(status)
    expect(response.headers.get('www-authenticate')).toContain(`error="${code}"`)
  })

  test('refuse a token that was revoked, and one in the address', async () => {
    const token = await sign()
    expect((await fetch(`${me}?access_token=${token}`)).status).toBe(401)
    await gatehouse.registry.users.disable(user.sub)
    await gatehouse.registry.users.enable(user.sub)
    await waitUntil('the refusal', async () => (await ask(`Bearer ${token}`)).status === 401)
    expect((await ask('Bearer no-token')).status).toBe(401)
  })
})
