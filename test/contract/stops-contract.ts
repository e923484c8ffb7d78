import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Registry } from '../../src/registry/registry.ts'
import { runCommand } from '../support/command.ts'
import { startModelServer, type ModelServer } from '../support/model-server.ts'
import { startPeople, type People } from '../support/people.ts'
import { startPerson, type Person } from '../support/person.ts'
import type { StoreSettings } from '../support/store-settings.ts'
import { waitUntil } from '../support/wait-until.ts'

type Names = { sub: string; client: string; tenant: string }
type Tokens = { access_token: string; refresh_token: string }
type Client = { clientId: string; clientSecret: string }

/** Whoever stops a user, a client or a tenant stops all that was given to them, wherever it is used. */
export function describeStops(openStore: () => Promise<StoreSettings>): void {
  let model: ModelServer
  let opened: StoreSettings
  let people: People
  beforeAll(async () => {
    model = await startModelServer()
    opened = await openStore()
    people = await startPeople([`proxy.upstreams=${model.url}`, ...opened.settings])
  })
  afterAll(async () => {
    await people.close()
    await opened.stop()
    await model.close()
  })

  let made = 0
  async function newSignIn() {
    made += 1
    const [tenant, username] = [`tenant-${made}`, `user-${made}`]
    const { sub } = await people.createUser({ username, tenant_id: tenant })
    const client = await people.gatehouse.createClient({
      tenant_id: tenant,
      grant_types: ['authorization_code', 'refresh_token'],
      redirect_uris: [people.relyingParty.callbackUrl],
    })
    const person = startPerson({ username })
    const tokens = (await redeem(client, await authorize(client, person))) as Tokens
    const names: Names = { sub, client: client.clientId, tenant }
    return { names, client, person, tokens }
  }

  async function authorize(
    { clientId }: Client,
    person: Person,
    more: Record<string, string> = {},
  ) {
    const { url, verifier } = people.authorization(clientId, more)
    const { searchParams } = await person.visit(url)
    return { verifier, code: searchParams.get('code') ?? '', error: searchParams.get('error') }
  }

  async function post(path: string, { clientId, clientSecret }: Client, fields: object) {
    const basic = Buffer.from(`${clientId}:${clientSecret}`).toString('base64')
    const response = await fetch(people.issuer + path, {
      method: 'POST',
      headers: { authorization: `Basic ${basic}` },
      body: new URLSearchParams({ ...fields }),
    })
    return (await response.json()) as Record<string, unknown>
  }
  const redeem = (client: Client, { code, verifier }: { code: string; verifier: string }) =>
    post('/token', client, {
      grant_type: 'authorization_code',
      code,
      code_verifier: verifier,
      redirect_uri: people.relyingParty.callbackUrl,
    })
  const refresh = (client: Client, { refresh_token }: Tokens) =>
    post('/token', client, { grant_type: 'refresh_token', refresh_token })
  const introspect = (client: Client, token: string) =>
    post('/token/introspection', client, { token })
  const statusesOf = async ({ access_token: token }: Tokens) => {
    const { config } = people.gatehouse
    const ask = (url: string) => fetch(url, { headers: { authorization: `Bearer ${token}` } })
    const answers = await Promise.all([
      ask(`${config.proxy.url}/v1/models`),
      ask(`${people.issuer}/me`),
    ])
    return answers.map(({ status }) => status)
  }

  const byCommand =
    (flag: string, name: keyof Names) => async (_registry: Registry, names: Names) => {
      const { config, dir } = people.gatehouse
      const { code, stderr } = await runCommand(['revoke', flag, names[name]], {
        GATEHOUSE_ADMIN_URL: `http://${config.admin.listen}`,
        GATEHOUSE_ADMIN_KEY_FILE: join(dir, 'keys', 'admin.jwk'),
      })
      expect([code, stderr]).toEqual([0, ''])
    }

  type Stop = (registry: Registry, names: Names) => Promise<unknown>
  const STOPS: [string, Stop, { client?: 'stopped'; session?: 'goes on' }][] = [
    ['the user is disabled', ({ users }, { sub }) => users.disable(sub), {}],
    ['the user is deleted', ({ users }, { sub }) => users.delete(sub), {}],
    [
      'the user gets a new password',
      ({ users }, { sub }) => users.setPassword(sub, 'a new pass phrase'),
      {},
    ],
    [
      'the user is disabled, and enabled again',
      async ({ users }, { sub }) => {
        await users.disable(sub)
        await users.enable(sub)
      },
      {},
    ],
    [
      'the tenant is suspended',
      ({ tenants }, { tenant }) => tenants.suspend(tenant),
      { client: 'stopped' },
    ],
    [
      'the tenant is suspended, and resumed',
      async ({ tenants }, { tenant }) => {
        await tenants.suspend(tenant)
        await tenants.resume(tenant)
      },
      {},
    ],
    [
      'all of the tenant is deleted',
      async ({ tenants, clients, users }, { tenant, client, sub }) => {
        await Promise.all([clients.delete(client), users.delete(sub)])
        await tenants.delete(tenant)
      },
      { client: 'stopped' },
    ],
    [
      'the client is disabled',
      ({ clients }, { client }) => clients.disable(client),
      { client: 'stopped' },
    ],
    [
      'the client is deleted',
      ({ clients }, { client }) => clients.delete(client),
      { client: 'stopped' },
    ],
    [
      'the client is disabled, and enabled again',
      async ({ clients }, { client }) => {
        await clients.disable(client)
        await clients.enable(client)
      },
      { session: 'goes on' },
    ],
    ['an operator revokes the user', byCommand('--sub', 'sub'), {}],
    ['an operator revokes the client', byCommand('--client', 'client'), { session: 'goes on' }],
    ['an operator revokes the tenant', byCommand('--tenant', 'tenant'), {}],
  ]

  test.each(STOPS)('when %s', async (_title, stop, { client: isStopped, session }) => {
    const { names, client, person, tokens } = await newSignIn()
    const unredeemed = await authorize(client, person)
    expect(unredeemed.code).not.toBe('')
    expect(await statusesOf(tokens)).toEqual([200, 200])
    expect(await introspect(client, tokens.refresh_token)).toMatchObject({ active: true })

    await stop(people.gatehouse.registry, names)

    await waitUntil('the refusals', async () => String(await statusesOf(tokens)) === '401,401')
    const refusal = { error: isStopped ? 'invalid_client' : 'invalid_grant' }
    expect(await refresh(client, tokens)).toMatchObject(refusal)
    expect(await redeem(client, unredeemed)).toMatchObject(refusal)
    if (isStopped) return
    for (const token of [tokens.access_token, tokens.refresh_token]) {
      expect(await introspect(client, token)).toEqual({ active: false })
    }
    const again = await authorize(client, person, { prompt: 'none' })
    expect(again.error).toBe(session === undefined ? 'login_required' : null)
  })

  describe('a refresh token that its client revokes', () => {
    test('takes its grant along, and leaves a line that does not show it', async () => {
      const { names, client, tokens } = await newSignIn()
      const next = (await refresh(client, tokens)) as Tokens
      expect(await statusesOf(next)).toEqual([200, 200])
      const basic = Buffer.from(`${client.clientId}:${client.clientSecret}`).toString('base64')
      const revoke = () =>
        fetch(`${people.issuer}/token/revocation`, {
          method: 'POST',
          headers: { authorization: `Basic ${basic}` },
          body: new URLSearchParams({ token: next.refresh_token }),
        })
      expect((await revoke()).status).toBe(200)
      for (const each of [tokens, next]) {
        await waitUntil('the refusals', async () => String(await statusesOf(each)) === '401,401')
        expect(await refresh(client, each)).toMatchObject({ error: 'invalid_grant' })
      }
      expect((await revoke()).status).toBe(200)
      const lines = people.gatehouse.logged.filter(
        ({ event, client_id: id }) => event === 'token.revoked' && id === client.clientId,
      )
      const line = { decision: 'allow', sub: names.sub, tenant_id: names.tenant }
      expect(lines).toEqual([expect.objectContaining(line)])
      const logged = JSON.stringify(people.gatehouse.logged)
      for (const { refresh_token: secret } of [tokens, next]) expect(logged).not.toContain(secret)
    })

    test('is left alone when it is another client’s', async () => {
      const [mine, other] = [await newSignIn(), await newSignIn()]
      const basic = `${other.client.clientId}:${other.client.clientSecret}`
      const answer = await fetch(`${people.issuer}/token/revocation`, {
        method: 'POST',
        headers: { authorization: `Basic ${Buffer.from(basic).toString('base64')}` },
        body: new URLSearchParams({ token: mine.tokens.refresh_token }),
      })
      expect(answer.status).toBe(200)
      expect(await refresh(mine.client, mine.tokens)).toHaveProperty('refresh_token')
      for (const { clientId } of [mine.client, other.client]) {
        const line = { event: 'token.revoked', client_id: clientId }
        expect(people.gatehouse.logged).not.toContainEqual(expect.objectContaining(line))
      }
    })
  })
}
