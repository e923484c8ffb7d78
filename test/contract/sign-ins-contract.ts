import { decodeJwt } from 'jose'
import { createHash } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { DEVICE_CODE_GRANT } from '../../src/registry/client-metadata.ts'
import { REVOCATIONS } from '../../src/revocations/revocation.ts'
import type { OpenedStore } from '../support/stores.ts'
import {
  CALLBACK,
  OTHER_RESOURCE,
  RESOURCE,
  startSignIns,
  type SignIns,
  type TestClient,
  type Tokens,
} from '../support/sign-ins.ts'

/** Two issuers of one installation grant as one, on every store. */
export function describeSignIns(
  start: (clock: () => number) => Promise<OpenedStore>,
  { races }: { races: number },
): void {
  let opened: OpenedStore
  let issuers: SignIns
  beforeAll(async () => {
    opened = await start(() => Date.now() + (issuers?.ahead.ms ?? 0))
    issuers = await startSignIns(opened.store, 2)
  })
  afterAll(async () => {
    await issuers.close()
    await opened.stop()
  })
  const isRevoked = async (token: string) => {
    const { jti } = decodeJwt(token)
    const entries = await opened.store.read(REVOCATIONS, { limit: 100_000 })
    return entries.some(({ value }) => (value as { value: string }).value === jti)
  }
  const newSignIn = async () => {
    const [client, user] = [await issuers.createClient(), await issuers.createUser()]
    return { client, user, tokens: await issuers.signIn(client, user) }
  }

  describe('an authorization code', () => {
    test('of one issuer is redeemed at the other, once; its reuse revokes what came of it', async () => {
      const [client, user] = [await issuers.createClient(), await issuers.createUser()]
      const answer = await issuers.authorize(client, user)
      expect(answer).toMatchObject({ state: 'the-state', iss: issuers.issuer })
      const first = await issuers.redeem(client, answer, { at: 1 })
      expect(first).toMatchObject({ status: 200, scope: 'openid ocr_api_access' })
      expect(await isRevoked(first.access_token)).toBe(false)

      expect(await issuers.redeem(client, answer)).toMatchObject({
        status: 400,
        error: 'invalid_grant',
      })
      expect(await isRevoked(first.access_token)).toBe(true)
      expect(await issuers.refresh(client, first.refresh_token ?? '')).toMatchObject({
        error: 'invalid_grant',
      })
    })

    test('that is redeemed eight times at once gives one answer', async () => {
      const [client, user] = [await issuers.createClient(), await issuers.createUser()]
      const answer = await issuers.authorize(client, user)
      const all = await Promise.all(
        Array.from({ length: 8 }, (_unused, i) => issuers.redeem(client, answer, { at: i % 2 })),
      )
      const outcomes = all.map(({ status, error }) => `${status} ${error}`).sort()
      expect(outcomes).toEqual([
        '200 undefined',
        ...Array.from({ length: 7 }, () => '400 invalid_grant'),
      ])
    })

    test('is for its client, its redirect URI and its verifier alone', async () => {
      const [client, other] = [await issuers.createClient(), await issuers.createClient()]
      const answer = await issuers.authorize(client, await issuers.createUser())
      const refusals = [
        await issuers.redeem(other, answer),
        await issuers.redeem(client, { ...answer, verifier: 'a'.repeat(43) }),
        await issuers.redeem(client, answer, { redirect_uri: `${CALLBACK}/` }),
      ]
      for (const refusal of refusals) expect(refusal).toMatchObject({ error: 'invalid_grant' })
      expect((await issuers.redeem(client, answer)).status).toBe(200)
    })
  })

  describe('the token of a sign-in', () => {
    test('speaks for the user, within the limits of the user, and opens userinfo too', async () => {
      const client = await issuers.createClient({ subject_limits: { rpm: 9 } })
      const user = await issuers.createUser({ limits: { rpm: 3 } })
      const tokens = await issuers.signIn(client, user)
      expect(decodeJwt(tokens.access_token)).toMatchObject({
        sub: user.sub,
        client_id: client.clientId,
        aud: RESOURCE,
        scope: 'openid ocr_api_access',
        tenant_id: 'default',
        limits: { subject: { rpm: 3 } },
      })
      expect(decodeJwt(tokens.id_token ?? '')).toMatchObject({
        iss: issuers.issuer,
        aud: client.clientId,
        sub: user.sub,
      })
    })

    test('has no more than the user may have, now', async () => {
      const client = await issuers.createClient({ scope: 'ocr_api_access other:read' })
      const user = await issuers.createUser({ scope: 'ocr_api_access other:read' })
      const more = { scope: 'ocr_api_access other:read', resource: OTHER_RESOURCE }
      const tokens = await issuers.signIn(client, user, more)
      expect(decodeJwt(tokens.access_token)).toMatchObject({
        aud: OTHER_RESOURCE,
        scope: 'ocr_api_access other:read',
      })
      await issuers.registry.users.update(user.sub, { scope: 'ocr_api_access' })
      const later = await issuers.refresh(client, tokens.refresh_token ?? '')
      expect(decodeJwt(later.access_token)['scope']).toBe('ocr_api_access')
    })

    test.each([
      ['an unknown scope', { scope: 'openid nonsense' }, 'invalid_scope'],
      ['a scope that is not the client’s', { scope: 'other:read' }, 'invalid_scope'],
      ['an unknown resource', { resource: 'https://elsewhere.example' }, 'invalid_target'],
      ['a resource with a fragment', { resource: `${RESOURCE}#x` }, 'invalid_target'],
      ['no PKCE', { code_challenge: '', code_challenge_method: '' }, 'invalid_request'],
      ['plain PKCE', { code_challenge_method: 'plain' }, 'invalid_request'],
      ['the implicit grant', { response_type: 'token' }, 'unsupported_response_type'],
    ])('is not given for %s', async (_title, more, error) => {
      const client = await issuers.createClient()
      const answer = await issuers.authorize(client, await issuers.createUser(), more)
      expect(answer).toMatchObject({ error, iss: issuers.issuer })
    })

    test('is not given to a user of another tenant', async () => {
      await issuers.registry.tenants.create({ tenant_id: 'elsewhere', name: '' })
      const client = await issuers.createClient({ tenant_id: 'elsewhere' })
      const answer = await issuers.authorize(client, await issuers.createUser())
      expect(answer).not.toHaveProperty('code')
    })
  })

  describe('a refresh token', () => {
    test('is followed by another at each use; used again later, it ends all', async () => {
      const { client, tokens } = await newSignIn()
      const second = await issuers.refresh(client, tokens.refresh_token ?? '', { at: 1 })
      expect(second.status).toBe(200)
      const third = await issuers.refresh(client, second.refresh_token ?? '')
      expect(new Set([tokens, second, third].map((each) => each.refresh_token)).size).toBe(3)

      const stolen = await issuers.refresh(client, tokens.refresh_token ?? '')
      expect(stolen).toMatchObject({ status: 400, error: 'invalid_grant' })
      expect(await issuers.refresh(client, third.refresh_token ?? '')).toMatchObject({
        error: 'invalid_grant',
      })
      for (const { access_token } of [tokens, second, third]) {
        expect(await isRevoked(access_token)).toBe(true)
      }
    })

    test('is answered the same when the answer was lost, for 10 s', async () => {
      const { client, tokens } = await newSignIn()
      const first = await issuers.refresh(client, tokens.refresh_token ?? '')
      const again = await issuers.refresh(client, tokens.refresh_token ?? '', { at: 1 })
      expect(again.refresh_token).toBe(first.refresh_token)
      issuers.ahead.ms += 12_000
      const late = await issuers.refresh(client, tokens.refresh_token ?? '')
      expect(late).toMatchObject({ error: 'invalid_grant' })
      expect(await isRevoked(again.access_token)).toBe(true)
    })

    test('works for its client alone, and gives no more than was granted', async () => {
      const { client, user, tokens } = await newSignIn()
      const refreshToken = tokens.refresh_token ?? ''
      expect(await issuers.refresh(await issuers.createClient(), refreshToken)).toMatchObject({
        error: 'invalid_grant',
      })
      expect(await issuers.refresh(client, refreshToken, { scope: 'other:read' })).toMatchObject({
        error: 'invalid_scope',
      })
      const narrow = await issuers.refresh(client, refreshToken, { scope: 'ocr_api_access' })
      expect(decodeJwt(narrow.access_token)).toMatchObject({
        sub: user.sub,
        scope: 'ocr_api_access',
      })
      const wide = await issuers.refresh(client, narrow.refresh_token ?? '')
      expect(wide.scope).toBe('openid ocr_api_access')
    })

    test.each([
      ['the user is disabled', (user: string) => issuers.registry.users.disable(user)],
      ['the user is deleted', (user: string) => issuers.registry.users.delete(user)],
      [
        'the password is set anew',
        (user: string) => issuers.registry.users.setPassword(user, 'another password'),
      ],
      [
        'the client was disabled, although enabled again',
        async (_user: string, client: string) => {
          await issuers.registry.clients.disable(client)
          await issuers.registry.clients.enable(client)
        },
      ],
    ])('ends when %s', async (_title, stop) => {
      const { client, user, tokens } = await newSignIn()
      await stop(user.sub, client.clientId)
      const refused = await issuers.refresh(client, tokens.refresh_token ?? '')
      expect(refused).toMatchObject({ status: 400, error: 'invalid_grant' })
    })

    test('is given to clients that registered the grant only', async () => {
      const client = await issuers.createClient({ grant_types: ['authorization_code'] })
      const tokens = await issuers.signIn(client, await issuers.createUser())
      expect(tokens).not.toHaveProperty('refresh_token')
    })

    test(`of ${races} races between the issuers each has one successor`, async () => {
      const { client, tokens } = await newSignIn()
      let current = tokens.refresh_token ?? ''
      for (let round = 0; round < races; round += 1) {
        const [a, b] = await Promise.all(
          [0, 1].map((at) => issuers.refresh(client, current, { at })),
        )
        const successors = new Set([a, b].flatMap((each) => each?.refresh_token ?? []))
        expect([round, a?.error, b?.error, successors.size]).toEqual([
          round,
          undefined,
          undefined,
          1,
        ])
        current = [...successors][0] ?? ''
      }
    }, 120_000)
  })

  describe('a pushed request', () => {
    const push = async (client: TestClient, fields: Record<string, string> = {}) => {
      const verifier = 'v'.repeat(43)
      const response = await issuers.post('/request', {
        client_id: client.clientId,
        client_secret: client.clientSecret,
        response_type: 'code',
        redirect_uri: CALLBACK,
        scope: 'openid ocr_api_access',
        code_challenge: createHash('sha256').update(verifier).digest('base64url'),
        code_challenge_method: 'S256',
        ...fields,
      })
      const body = (await response.json()) as Record<string, string>
      return { status: response.status, body, verifier }
    }
    const bare = { code_challenge: '', code_challenge_method: '', scope: '' }

    test('stands for its parameters once, and for its client', async () => {
      const [client, other] = [await issuers.createClient(), await issuers.createClient()]
      const user = await issuers.createUser()
      const { status, body, verifier } = await push(client)
      expect(status).toBe(201)
      const request = { ...bare, request_uri: body['request_uri'] ?? '' }
      expect(await issuers.authorize(other, user, request)).not.toHaveProperty('code')
      const answer = await issuers.authorize(client, user, request)
      const tokens = await issuers.redeem(client, { ...answer, verifier }, { at: 1 })
      expect(tokens.status).toBe(200)
      const again = await issuers.authorize(client, user, request)
      expect(again).not.toHaveProperty('code')
    })

    test.each([
      ['without the secret', { client_secret: 'wrong' }, [401, 'invalid_client']],
      [
        'for an address that is not registered',
        { redirect_uri: `${CALLBACK}2` },
        [400, 'invalid_request'],
      ],
      ['for an unknown scope', { scope: 'nonsense' }, [400, 'invalid_scope']],
    ])('is refused %s', async (_title, fields, refusal) => {
      const { status, body } = await push(await issuers.createClient(), fields)
      expect([status, body['error']]).toEqual(refusal)
    })
  })

  describe('a device', () => {
    const begin = async () => {
      const client = await issuers.createClient({ token_endpoint_auth_method: 'none' })
      const response = await issuers.post('/device/auth', {
        client_id: client.clientId,
        scope: 'openid ocr_api_access',
      })
      const begun = (await response.json()) as { device_code: string; user_code: string }
      const poll = async (at = 0) => {
        const fields = { grant_type: DEVICE_CODE_GRANT, device_code: begun.device_code }
        const answer = await issuers.post('/token', { client_id: client.clientId, ...fields }, at)
        return (await answer.json()) as Partial<Tokens>
      }
      return { client, ...begun, poll }
    }

    test('is told to wait, to slow down at every issuer, and more each time', async () => {
      const { poll } = await begin()
      expect(await poll(0)).toMatchObject({ error: 'authorization_pending' })
      expect(await poll(1)).toMatchObject({ error: 'slow_down' })
      issuers.ahead.ms += 8000
      expect(await poll(0)).toMatchObject({ error: 'slow_down' })
      issuers.ahead.ms += 16_000
      expect(await poll(1)).toMatchObject({ error: 'authorization_pending' })
    })

    test('gets the tokens of whoever enters its code, once', async () => {
      const user = await issuers.createUser()
      const { client, user_code: userCode, poll } = await begin()
      await issuers.enterCode(user, userCode)
      const tokens = await poll(1)
      expect(decodeJwt(tokens.access_token ?? '')).toMatchObject({
        sub: user.sub,
        client_id: client.clientId,
        scope: 'openid ocr_api_access',
      })
      expect(tokens.refresh_token).toBeDefined()
      expect(await poll()).toMatchObject({ error: 'invalid_grant' })
      expect(await isRevoked(tokens.access_token ?? '')).toBe(true)
    })
  })

  describe('a client that refreshes what it got for itself', () => {
    const own = async (refreshes: boolean) => {
      const client = await issuers.createClient({
        grant_types: ['client_credentials'],
        redirect_uris: [],
        client_credentials_refresh: refreshes,
      })
      const response = await issuers.post('/token', {
        grant_type: 'client_credentials',
        client_id: client.clientId,
        client_secret: client.clientSecret,
      })
      return { client, body: (await response.json()) as Record<string, string> }
    }

    test('has to have opted in', async () => {
      expect((await own(false)).body).not.toHaveProperty('refresh_token')
    })

    test('gets the same token again, from a refresh token that rotates', async () => {
      const { client, body } = await own(true)
      const next = await issuers.refresh(client, body['refresh_token'] ?? '', { at: 1 })
      expect(next.status).toBe(200)
      const [before, after] = [body['access_token'] ?? '', next.access_token].map(decodeJwt)
      for (const name of ['sub', 'client_id', 'aud', 'scope', 'tenant_id', 'limits']) {
        expect(after?.[name]).toEqual(before?.[name])
      }
      const last = await issuers.refresh(client, next.refresh_token ?? '')
      expect(last.status).toBe(200)
      const reused = await issuers.refresh(client, body['refresh_token'] ?? '')
      expect(reused.error).toBe('invalid_grant')
      expect(await isRevoked(last.access_token)).toBe(true)
      expect(await isRevoked(body['access_token'] ?? '')).toBe(true)
    })

    test('stops when the opt-in is withdrawn', async () => {
      const { client, body } = await own(true)
      await issuers.registry.clients.update(client.clientId, { client_credentials_refresh: false })
      const refused = await issuers.refresh(client, body['refresh_token'] ?? '')
      expect(refused.status).toBe(400)
    })
  })
}
