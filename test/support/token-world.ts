import { exportJWK, generateKeyPair, SignJWT, type JWK } from 'jose'
import { publicJwksSchema } from '../../src/registry/client-keys.ts'
import { randomBytes, randomUUID } from 'node:crypto'
import { rm } from 'node:fs/promises'
import { DEVICE_CODE_GRANT } from '../../src/registry/client-metadata.ts'
import type { NewClientRequest } from '../../src/registry/client.ts'
import { createDpopClient, type DpopClient } from './dpop-client.ts'
import { startFormBrowser, type FormBrowser } from './form-sign-in.ts'
import { startGatehouse, type Gatehouse } from './gatehouse.ts'
import { createMemoryFolder } from './memory-folder.ts'
import { createRawClient, type RawAnswer, type RawClient } from './raw-request.ts'
import { createPkce } from './relying-party.ts'
import type { ClientName, SignInPlan } from './token-plans.ts'

export const ARCHIVE = 'https://archive.example/api'
export const CALLBACK = 'https://client.example/callback'
const PASSWORD = 'correct horse battery'
const ASSERTION_TYPE = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer'
const SIGN_IN_GRANTS = ['authorization_code', 'refresh_token', DEVICE_CODE_GRANT] as const
const BOTH_SCOPES = 'ocr_api_access archive:read'
const ASKS: Readonly<Record<SignInPlan['asks'], readonly [string, readonly string[]]>> = {
  default: ['openid ocr_api_access', []],
  archive: [`openid ${BOTH_SCOPES}`, [ARCHIVE]],
  both: [`openid ${BOTH_SCOPES}`, ['proxy', ARCHIVE]],
}

export type Fields = [name: string, value: string][]
export type Person = SignInPlan['person']
export type Clients = Readonly<Record<ClientName, { id: string; secret: string }>>

/** People who are signed in, each in a browser of their own, and what it takes to get codes and tokens for them. */
export type Lane = {
  subs: Readonly<Record<Person, string>>
  /** A code, with its verifier. */
  mintCode: (
    client: 'app' | 'bound',
    signIn: SignInPlan,
  ) => Promise<{ code: string; verifier: string }>
  redeem: (
    client: 'app' | 'bound',
    code: string,
    verifier: string,
    isBound: boolean,
  ) => Promise<Minted>
  refresh: (client: 'app' | 'bound' | 'robot', token: string, isBound: boolean) => Promise<Minted>
  /** A device code that the person has agreed to. */
  mintDeviceCode: (client: 'app' | 'bound', signIn: SignInPlan, agreed: boolean) => Promise<string>
  mintOwnRefreshToken: (asks: SignInPlan['asks']) => Promise<string>
}
export type Minted = { access_token: string; refresh_token: string }

export type TokenWorld = {
  gatehouse: Gatehouse
  issuer: string
  proxy: string
  clients: Clients
  /** The key of whoever asks, and that of somebody else. */
  keys: { own: DpopClient; others: DpopClient }
  http: RawClient
  lanes: readonly Lane[]
  assert: (by: ClientName, over?: Record<string, unknown>) => Promise<Fields>
  post: (path: string, fields: Fields, headers?: Record<string, string>) => Promise<RawAnswer>
  prove: (by: DpopClient, over?: Record<string, unknown>) => Promise<string>
  close: () => Promise<void>
}

/** An issuer with clients of every sort and people who are signed in at it. */
export async function startTokenWorld(laneCount: number): Promise<TokenWorld> {
  const proxy = 'http://localhost:8080'
  const dataDir = await createMemoryFolder()
  const gatehouse = await startGatehouse('http://127.0.0.1:9', [
    `dataDir=${dataDir}`,
    `proxy.url=${proxy}`,
    `resources=${JSON.stringify({
      [proxy]: { scopes: ['ocr_api_access'] },
      [ARCHIVE]: { scopes: ['ocr_api_access', 'archive:read'] },
    })}`,
    'issuer.clientAuth.maxFailuresPerMinute=100000',
  ])
  const issuer = gatehouse.config.issuer.url
  const pairs = { robot: await generateKeyPair('ES256'), narrow: await generateKeyPair('ES256') }
  const clients = await createClients(gatehouse, proxy, {
    robot: await exportJWK(pairs.robot.publicKey),
    narrow: await exportJWK(pairs.narrow.publicKey),
  })
  const subs = await createUsers(gatehouse)
  const keys = { own: await createDpopClient(), others: await createDpopClient() }
  const http = createRawClient(issuer, laneCount)

  const post: TokenWorld['post'] = (path, fields, headers = {}) =>
    http.send({
      path,
      headers: { 'content-type': 'application/x-www-form-urlencoded', ...headers },
      body: new URLSearchParams(fields).toString(),
    })
  const prove: TokenWorld['prove'] = (by, over) =>
    by.prove({ method: 'POST', uri: `${issuer}/token` }, over)
  const assert: TokenWorld['assert'] = async (by, over = {}) => {
    const { id } = clients[by]
    const exp = Math.floor(Date.now() / 1000) + 590
    const claims = { iss: id, sub: id, aud: issuer, jti: randomUUID(), exp, ...over }
    const jwt = new SignJWT(claims).setProtectedHeader({ alg: 'ES256' })
    return [
      ['client_assertion_type', ASSERTION_TYPE],
      ['client_assertion', await jwt.sign(pairs[by === 'narrow' ? 'narrow' : 'robot'].privateKey)],
    ]
  }
  const requestTokens = async (fields: Fields, isBound: boolean): Promise<Minted> => {
    const headers = isBound ? { dpop: await prove(keys.own) } : {}
    const { status, text } = await post('/token', fields, headers)
    if (status !== 200) throw new Error(`no tokens: ${text}`)
    return JSON.parse(text) as Minted
  }

  function startLane(): Lane {
    const browsers: Record<Person, FormBrowser> = {
      mei: startFormBrowser({ username: 'mei', password: PASSWORD }),
      kim: startFormBrowser({ username: 'kim', password: PASSWORD }),
    }
    const askFor = (asks: SignInPlan['asks']): Fields => {
      const [scope, resources] = ASKS[asks]
      const named = resources.map((resource) => (resource === 'proxy' ? proxy : resource))
      return [['scope', scope], ...named.map((resource): Fields[number] => ['resource', resource])]
    }
    return {
      subs,
      async mintCode(client, { person, asks, isBound }) {
        const { verifier, challenge } = createPkce()
        const query = new URLSearchParams([
          ['client_id', clients[client].id],
          ['response_type', 'code'],
          ['redirect_uri', CALLBACK],
          ['code_challenge', challenge],
          ['code_challenge_method', 'S256'],
          ...askFor(asks),
          ...(isBound ? [['dpop_jkt', keys.own.jkt]] : []),
        ])
        const answer = await browsers[person].authorize(`${issuer}/auth?${query.toString()}`)
        const code = answer.searchParams.get('code')
        if (code === null) throw new Error(`no code: ${answer.href}`)
        return { code, verifier }
      },
      redeem: (client, code, verifier, isBound) =>
        requestTokens(
          [
            ['client_id', clients[client].id],
            ['grant_type', 'authorization_code'],
            ['code', code],
            ['code_verifier', verifier],
            ['redirect_uri', CALLBACK],
          ],
          isBound || client === 'bound',
        ),
      refresh: async (client, token, isBound) =>
        requestTokens(
          [
            ...(client === 'robot'
              ? await assert(client)
              : ([['client_id', clients[client].id]] as Fields)),
            ['grant_type', 'refresh_token'],
            ['refresh_token', token],
          ],
          isBound || client === 'bound',
        ),
      async mintDeviceCode(client, { person, asks }, agreed) {
        const fields: Fields = [['client_id', clients[client].id], ...askFor(asks)]
        const { text } = await post('/device/auth', fields)
        const { device_code, user_code } = JSON.parse(text) as Record<string, string>
        if (device_code === undefined || user_code === undefined) throw new Error(text)
        if (agreed) await browsers[person].connectDevice(issuer, user_code)
        return device_code
      },
      async mintOwnRefreshToken(asks) {
        const resource: Fields = asks === 'default' ? [] : [['resource', ARCHIVE]]
        const fields: Fields = [...(await assert('robot')), ['grant_type', 'client_credentials']]
        return (await requestTokens([...fields, ...resource], false)).refresh_token
      },
    }
  }
  const lanes = Array.from({ length: laneCount }, startLane)
  // The first one gives the consents, the others only sign in.
  for (const lane of lanes) {
    for (const person of ['mei', 'kim'] as const) {
      for (const client of ['app', 'bound'] as const) {
        await lane.mintCode(client, { client: 'same', person, asks: 'both', isBound: false })
      }
    }
  }
  return {
    gatehouse,
    issuer,
    proxy,
    clients,
    keys,
    http,
    lanes,
    assert,
    post,
    prove,
    async close() {
      http.close()
      await gatehouse.close()
      await rm(dataDir, { recursive: true })
    },
  }
}

async function createClients(
  gatehouse: Gatehouse,
  proxy: string,
  jwks: Readonly<Record<'robot' | 'narrow', JWK>>,
): Promise<Clients> {
  const people: NewClientRequest = {
    token_endpoint_auth_method: 'none',
    grant_types: [...SIGN_IN_GRANTS],
    redirect_uris: [CALLBACK],
    scope: BOTH_SCOPES,
  }
  const machine = (jwk: JWK): NewClientRequest => ({
    token_endpoint_auth_method: 'private_key_jwt',
    jwks: publicJwksSchema.parse({ keys: [{ ...jwk, alg: 'ES256', use: 'sig' }] }),
  })
  const wanted: Readonly<Record<Exclude<ClientName, 'unknown'>, NewClientRequest>> = {
    app: people,
    bound: { ...people, dpop_bound_access_tokens: true },
    robot: { ...machine(jwks.robot), scope: BOTH_SCOPES, client_credentials_refresh: true },
    narrow: { ...machine(jwks.narrow), resources: [proxy] },
    secretive: {},
    disabled: people,
    suspended: { ...people, tenant_id: 'asleep' },
  }
  const made: [string, { id: string; secret: string }][] = []
  for (const [name, request] of Object.entries(wanted)) {
    const id = `the-${name}`
    const { clientSecret } = await gatehouse.createClient({ client_id: id, ...request })
    made.push([name, { id, secret: clientSecret }])
  }
  await gatehouse.registry.clients.disable('the-disabled')
  await gatehouse.registry.tenants.suspend('asleep')
  const unknown = { id: 'nobody', secret: '' }
  return { ...Object.fromEntries(made), unknown } as Clients
}

async function createUsers({ registry }: Gatehouse): Promise<Record<Person, string>> {
  const create = (username: Person, scope: string) =>
    registry.users.create({ username, scope, password: PASSWORD, tenant_id: 'default', name: '' })
  const [mei, kim] = [await create('mei', BOTH_SCOPES), await create('kim', 'ocr_api_access')]
  return { mei: mei.sub, kim: kim.sub }
}

export const madeUpToken = (): string => randomBytes(32).toString('base64url')
