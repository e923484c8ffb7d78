import { exportJWK, generateKeyPair, SignJWT } from 'jose'
import { randomUUID } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Running } from '../../src/cli/running.ts'
import { startIssuer, type RunningIssuer } from '../../src/cli/start-issuer.ts'
import { startProxy } from '../../src/cli/start-proxy.ts'
import type { Config } from '../../src/config/schema.ts'
import { systemClock } from '../../src/kernel/clock.ts'
import { createLog } from '../../src/kernel/log.ts'
import { DEVICE_CODE_GRANT } from '../../src/registry/client-metadata.ts'
import { newClientSchema, type NewClientRequest } from '../../src/registry/client.ts'
import { newUserSchema } from '../../src/registry/user.ts'
import { startModelServer, type ModelServer } from '../support/model-server.ts'
import { pairOf } from '../support/pair.ts'
import { PASSWORD } from '../support/people.ts'
import { startPerson, type Person } from '../support/person.ts'
import { hasRedisServer } from '../support/redis-binary.ts'
import { expectLifetimes } from '../support/redis-lifetimes.ts'
import { startRedis, type RedisServers } from '../support/redis-server.ts'
import { createPkce } from '../support/relying-party.ts'
import { waitUntil } from '../support/wait-until.ts'

const CALLBACK = 'https://client.example/callback'
const SIGNED_OUT = 'https://client.example/signed-out'
const around = { log: createLog('silent'), clock: systemClock }

type Client = { clientId: string; clientSecret: string }
type Tokens = { access_token: string; refresh_token: string; id_token: string; error?: string }

describe.skipIf(!hasRedisServer)('two issuers with a proxy each, on one Redis', () => {
  let dir: string
  let servers: RedisServers
  let model: ModelServer
  let configs: readonly [Config, Config]
  let issuers: readonly [RunningIssuer, RunningIssuer]
  let proxies: Running[]
  let sub: string
  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'gatehouse-two-'))
    servers = await startRedis()
    model = await startModelServer()
    configs = await pairOf(dir, servers.url, [`proxy.upstreams=${model.url}`])
    issuers = [await startIssuer(configs[0], around), await startIssuer(configs[1], around)]
    proxies = await Promise.all(configs.map((config) => startProxy(config, around)))
    const user = newUserSchema.parse({ username: 'mei', password: PASSWORD })
    sub = (await issuers[0].registry.users.create(user)).sub
  })
  afterAll(async () => {
    await Promise.all([...proxies, ...issuers].map((running) => running.close(0)))
    await expectLifetimes(servers).finally(servers.stop)
    await model.close()
    await rm(dir, { recursive: true })
  })

  const addressOf = (at: 0 | 1) => `http://${configs[at].issuer.listen}`
  const at = (index: 0 | 1) => (url: URL) => new URL(url.pathname + url.search, addressOf(index))
  const personAt = (index: 0 | 1) => startPerson({ username: 'mei', route: at(index) })

  async function createClient(request: NewClientRequest = {}): Promise<Client> {
    const wanted = newClientSchema.parse({
      grant_types: ['authorization_code', 'refresh_token', DEVICE_CODE_GRANT],
      redirect_uris: [CALLBACK],
      post_logout_redirect_uris: [SIGNED_OUT],
      ...request,
    })
    const { client, clientSecret = '' } = await issuers[0].registry.clients.create(wanted)
    return { clientId: client.client_id, clientSecret }
  }

  async function post<Body = Record<string, string>>(
    index: 0 | 1,
    path: string,
    { clientId, clientSecret }: Client,
    fields: object,
  ): Promise<Body> {
    const credentials = {
      client_id: clientId,
      ...(clientSecret && { client_secret: clientSecret }),
    }
    const response = await fetch(addressOf(index) + path, {
      method: 'POST',
      body: new URLSearchParams({ ...credentials, ...fields }),
    })
    const text = await response.text()
    return (text === '' ? {} : JSON.parse(text)) as Body
  }

  const requestOf = ({ clientId }: Client, more: Record<string, string> = {}) => {
    const { verifier, challenge } = createPkce()
    const parameters = {
      client_id: clientId,
      response_type: 'code',
      redirect_uri: CALLBACK,
      scope: 'openid ocr_api_access',
      code_challenge: challenge,
      code_challenge_method: 'S256',
      ...more,
    }
    return { verifier, parameters }
  }

  async function authorize(client: Client, person: Person, more: Record<string, string> = {}) {
    const { verifier, parameters } = requestOf(client, more)
    const query = new URLSearchParams(parameters)
    const { searchParams } = await person.visit(`${configs[0].issuer.url}/auth?${String(query)}`)
    return { verifier, code: searchParams.get('code') ?? '', error: searchParams.get('error') }
  }

  const redeem = (
    index: 0 | 1,
    client: Client,
    { code, verifier }: { code: string; verifier: string },
  ) =>
    post<Tokens>(index, '/token', client, {
      grant_type: 'authorization_code',
      code,
      code_verifier: verifier,
      redirect_uri: CALLBACK,
    })
  const refresh = (index: 0 | 1, client: Client, { refresh_token }: Tokens) =>
    post<Tokens>(index, '/token', client, { grant_type: 'refresh_token', refresh_token })
  const isActive = async (index: 0 | 1, client: Client, token: string) =>
    (await post<{ active: boolean }>(index, '/token/introspection', client, { token })).active

  async function newSignIn() {
    const client = await createClient()
    const person = personAt(0)
    return { client, person, tokens: await redeem(0, client, await authorize(client, person)) }
  }

  test('a sign-in whose every request meets the other one goes through', async () => {
    let turn = 0
    const route = (url: URL) => at((turn++ % 2) as 0 | 1)(url)
    const client = await createClient()
    const person = startPerson({ username: 'mei', route })
    const answer = await authorize(client, person)
    expect(turn).toBeGreaterThan(5)
    const tokens = await redeem((turn % 2) as 0 | 1, client, answer)
    for (const config of configs) {
      const headers = { authorization: `Bearer ${tokens.access_token}` }
      const called = await fetch(`http://${config.proxy.listen}/v1/models`, { headers })
      const me = await fetch(`http://${config.issuer.listen}/me`, { headers })
      expect([called.status, await me.json()]).toEqual([200, { sub }])
    }
    expect((await authorize(client, person, { prompt: 'none' })).error).toBeNull()
  })

  test.each([
    [0, 1],
    [1, 0],
  ] as const)('a code from %i is redeemed at %i, once between them', async (from, to) => {
    const client = await createClient()
    const answer = await authorize(client, personAt(from))
    const tokens = await redeem(to, client, answer)
    expect(await isActive(from, client, tokens.access_token)).toBe(true)
    expect(await redeem(from, client, answer)).toMatchObject({ error: 'invalid_grant' })
    expect(await refresh(from, client, tokens)).toMatchObject({ error: 'invalid_grant' })
  })

  test('a request that was pushed to one is carried out by the other, once', async () => {
    const client = await createClient()
    const { verifier, parameters } = requestOf(client)
    const { request_uri = '' } = await post(0, '/request', client, parameters)
    const query = new URLSearchParams({ client_id: client.clientId, request_uri })
    const url = `${configs[0].issuer.url}/auth?${String(query)}`
    const code = (await personAt(1).visit(url)).searchParams.get('code') ?? ''
    expect(await redeem(0, client, { code, verifier })).toHaveProperty('access_token')
    await expect(personAt(0).visit(url)).rejects.toThrow('400')
  })

  test('a device that began at one is connected at the other', async () => {
    const client = await createClient()
    const begun = await post(0, '/device/auth', client, { scope: 'openid ocr_api_access' })
    await personAt(1).visit(begun['verification_uri_complete'] ?? '')
    const poll = { grant_type: DEVICE_CODE_GRANT, device_code: begun['device_code'] }
    expect(await post(0, '/token', client, poll)).toHaveProperty('access_token')
    expect(await post(1, '/token', client, poll)).toMatchObject({ error: 'invalid_grant' })
  })

  test('a retried refresh gets the same successor at the other', async () => {
    const { client, tokens } = await newSignIn()
    const [first, retried] = [await refresh(0, client, tokens), await refresh(1, client, tokens)]
    expect(first.refresh_token).not.toBe(tokens.refresh_token)
    expect(retried.refresh_token).toBe(first.refresh_token)
    expect(await refresh(0, client, retried)).toHaveProperty('refresh_token')
    expect(await refresh(1, client, tokens)).toMatchObject({ error: 'invalid_grant' })
  })

  test.each([
    ['an access token', 'access_token'],
    ['a refresh token', 'refresh_token'],
  ] as const)(
    'the revocation of %s at one counts at the other, and at both proxies',
    async (_title, kind) => {
      const { client, tokens } = await newSignIn()
      const headers = { authorization: `Bearer ${tokens.access_token}` }
      const isOver = async () => {
        const urls = configs.flatMap(({ proxy, issuer }) => [
          `http://${proxy.listen}/v1/models`,
          `http://${issuer.listen}/me`,
        ])
        const answers = await Promise.all(urls.map((url) => fetch(url, { headers })))
        return answers.every(({ status }) => status === 401)
      }
      expect(await isActive(1, client, tokens[kind])).toBe(true)
      expect(await isOver()).toBe(false)
      await post(0, '/token/revocation', client, { token: tokens[kind] })
      await waitUntil('the other to know', async () => !(await isActive(1, client, tokens[kind])))
      await waitUntil('all to know', isOver)
      const error = kind === 'access_token' ? undefined : 'invalid_grant'
      expect((await refresh(1, client, tokens)).error).toBe(error)
    },
  )

  test('who signs out at one is signed out at the other, with the refresh token', async () => {
    const { client, tokens } = await newSignIn()
    // One browser, whose requests go wherever the balancer sends them.
    let index: 0 | 1 = 0
    const person = startPerson({ username: 'mei', route: (url) => at(index)(url) })
    const own = await redeem(0, client, await authorize(client, person))
    const errorAtOther = async () => {
      index = 1
      return (await authorize(client, person, { prompt: 'none' })).error
    }
    expect(await errorAtOther()).toBeNull()
    index = 0
    const query = new URLSearchParams({
      id_token_hint: own.id_token,
      post_logout_redirect_uri: SIGNED_OUT,
    })
    const back = await person.visit(`${configs[0].issuer.url}/session/end?${String(query)}`)
    expect(back.href).toBe(SIGNED_OUT)
    expect(await errorAtOther()).toBe('login_required')
    expect(await refresh(1, client, own)).toMatchObject({ error: 'invalid_grant' })
    expect(await refresh(1, client, tokens), 'of another browser').toHaveProperty('refresh_token')
  })

  test('a client assertion that was used at one is a replay at the other', async () => {
    const { publicKey, privateKey } = await generateKeyPair('ES256')
    const { clientId } = await createClient({
      grant_types: ['client_credentials'],
      redirect_uris: [],
      post_logout_redirect_uris: [],
      token_endpoint_auth_method: 'private_key_jwt',
      jwks: { keys: [await exportJWK(publicKey)] } as never,
    })
    const assertion = await new SignJWT({ jti: randomUUID() })
      .setProtectedHeader({ alg: 'ES256' })
      .setIssuer(clientId)
      .setSubject(clientId)
      .setAudience(configs[0].issuer.url)
      .setIssuedAt()
      .setExpirationTime('1m')
      .sign(privateKey)
    const ask = (index: 0 | 1) =>
      post(
        index,
        '/token',
        { clientId, clientSecret: '' },
        {
          grant_type: 'client_credentials',
          client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
          client_assertion: assertion,
        },
      )
    expect(await ask(0)).toHaveProperty('access_token')
    expect(await ask(1)).toMatchObject({ error: 'invalid_client' })
  })
})
