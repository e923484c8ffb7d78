import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { BlockList } from 'node:net'
import type Provider from 'oidc-provider'
import { createIssuerMetrics } from '../../src/issuer/metrics.ts'
import { mutualTls } from '../../src/issuer/mutual-tls.ts'
import { createProvider } from '../../src/issuer/provider.ts'
import { createLog } from '../../src/kernel/log.ts'
import { createMetricsRegistry } from '../../src/kernel/metrics.ts'
import { generateSigningKey } from '../../src/keys/ring-file.ts'
import { createRing, type Ring } from '../../src/keys/ring.ts'
import { DEVICE_CODE_GRANT } from '../../src/registry/client-metadata.ts'
import { newClientSchema, type NewClientRequest } from '../../src/registry/client.ts'
import { createRegistry } from '../../src/registry/create-registry.ts'
import { createGuessLimits } from '../../src/registry/guess-limits.ts'
import type { Registry } from '../../src/registry/registry.ts'
import { newTenantSchema } from '../../src/registry/tenant.ts'
import { newUserSchema, type NewUserRequest, type User } from '../../src/registry/user.ts'
import type { Store } from '../../src/store/store.ts'
import { startBrowser } from './browser.ts'

export const RESOURCE = 'http://localhost:8080'
export const OTHER_RESOURCE = 'http://localhost:8090'
export const CALLBACK = 'https://client.example/callback'
const ISSUER = 'http://localhost:9000'

/** Issuers of one installation, without pages: whoever comes to sign in is `user`, and consents to everything. */
export type SignIns = {
  registry: Registry
  /** Where the issuers listen; their identifier is the same. */
  urls: readonly string[]
  issuer: string
  /** How far the issuers' own clock is ahead, in milliseconds. */
  ahead: { ms: number }
  createClient: (request?: NewClientRequest) => Promise<TestClient>
  createUser: (request?: Partial<NewUserRequest>) => Promise<User>
  /** The parameters that the client gets back when that user is asked. */
  authorize: (client: TestClient, user: User, more?: Record<string, string>) => Promise<Answer>
  /** Enters the code that a device shows, and agrees. */
  enterCode: (user: User, userCode: string) => Promise<void>
  /** Signs in and redeems the code. */
  signIn: (client: TestClient, user: User, more?: Record<string, string>) => Promise<Tokens>
  redeem: (client: TestClient, answer: Answer, more?: Redeeming) => Promise<Tokens>
  refresh: (client: TestClient, refreshToken: string, more?: Redeeming) => Promise<Tokens>
  post: (path: string, fields: Record<string, string>, at?: number) => Promise<Response>
  close: () => Promise<void>
}
export type TestClient = { clientId: string; clientSecret: string }
export type Answer = Record<string, string> & { verifier: string }
type Redeeming = { at?: number } & Record<string, string | number>
export type Tokens = {
  status: number
  access_token: string
  refresh_token?: string
  id_token?: string
  scope?: string
  error?: string
}

export async function startSignIns(store: Store, issuers = 1): Promise<SignIns> {
  const ahead = { ms: 0 }
  const clock = () => Date.now() + ahead.ms
  const registry = createRegistry({ store, clock, maxFailuresPerMinute: 1000 })
  await registry.tenants.create(newTenantSchema.parse({ tenant_id: 'default' }))
  const [active, next] = await Promise.all([generateSigningKey(2048), generateSigningKey(2048)])
  const ring = createRing(active, next, Math.floor(Date.now() / 1000))
  const secrets = {
    cookieKey: randomBytes(32),
    dpopNonceKey: randomBytes(32),
    refreshKey: randomBytes(32),
    storedTokenKey: randomBytes(32),
    formKey: randomBytes(32),
  }
  let user: User | undefined

  const start = async (current: Ring) => {
    const provider = await createProvider(current, {
      issuer: ISSUER,
      secrets,
      clients: registry.clients,
      users: registry.users,
      ownTokens: { findLive: async () => undefined },
      codeGuesses: createGuessLimits(clock, 1000),
      store,
      clock,
      resources: {
        [RESOURCE]: { scopes: ['ocr_api_access'] },
        [OTHER_RESOURCE]: { scopes: ['ocr_api_access', 'other:read'] },
      },
      defaultResource: RESOURCE,
      accessTokenTtlSeconds: 900,
      refreshTokenTtlSeconds: 1_209_600,
      mutualTls: mutualTls({ trustedProxies: new BlockList(), clientCa: () => undefined, clock }),
      fetchClientJwks: () => Promise.reject(new Error('nobody asks for keys')),
      log: createLog('silent'),
      metrics: createIssuerMetrics(createMetricsRegistry()),
    })
    const callback = provider.callback()
    const server = createServer((req, res) => {
      if (req.url?.startsWith('/interaction/') === true) {
        void agree(provider, { req, res }, user)
      } else void callback(req, res)
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const address = server.address()
    const port = address === null || typeof address === 'string' ? 0 : address.port
    const close = () => {
      server.closeAllConnections()
      server.close()
      return once(server, 'close')
    }
    return { url: `http://127.0.0.1:${port}`, close }
  }
  const servers = await Promise.all(Array.from({ length: issuers }, () => start(ring)))
  const urls = servers.map(({ url }) => url)

  const post = (path: string, fields: Record<string, string>, at = 0) =>
    fetch(`${urls[at]}${path}`, {
      method: 'POST',
      body: new URLSearchParams(fields),
      redirect: 'manual',
    })
  const requestTokens = async (
    { clientId, clientSecret }: TestClient,
    { at = 0, ...fields }: Redeeming,
  ): Promise<Tokens> => {
    const credentials = {
      client_id: clientId,
      ...(clientSecret && { client_secret: clientSecret }),
    }
    const texts = Object.fromEntries(
      Object.entries(fields).map(([name, value]) => [name, String(value)]),
    )
    const response = await post('/token', { ...credentials, ...texts }, at)
    return { status: response.status, ...((await response.json()) as Omit<Tokens, 'status'>) }
  }

  const signIns: SignIns = {
    registry,
    urls,
    issuer: ISSUER,
    ahead,
    async createClient(request = {}) {
      const wanted = newClientSchema.parse({
        grant_types: ['authorization_code', 'refresh_token', DEVICE_CODE_GRANT],
        redirect_uris: [CALLBACK],
        ...request,
      })
      const { client, clientSecret = '' } = await registry.clients.create(wanted)
      return { clientId: client.client_id, clientSecret }
    },
    createUser: (request = {}) =>
      registry.users.create(
        newUserSchema.parse({
          username: `u${randomBytes(6).toString('hex')}`,
          password: 'correct horse battery',
          ...request,
        }),
      ),
    async authorize({ clientId }, asked, more = {}) {
      user = asked
      const verifier = randomBytes(32).toString('base64url')
      const wanted = {
        client_id: clientId,
        response_type: 'code',
        redirect_uri: CALLBACK,
        scope: 'openid ocr_api_access',
        state: 'the-state',
        code_challenge: createHash('sha256').update(verifier).digest('base64url'),
        code_challenge_method: 'S256',
        ...more,
      }
      const sent = Object.entries(wanted).filter(([, value]) => value !== '')
      const query = new URLSearchParams(sent)
      const reached = await startBrowser().open(`${urls[0]}/auth?${query.toString()}`)
      const fragment = new URLSearchParams(reached.hash.slice(1))
      return { ...Object.fromEntries([...reached.searchParams, ...fragment]), verifier }
    },
    async enterCode(asked, userCode) {
      user = asked
      const browser = startBrowser()
      const page = `${urls[0]}/device`
      const form = await (await browser.fetch(page)).text()
      const xsrf = /name="xsrf" value="([^"]+)"/.exec(form)?.[1] ?? ''
      const agreed = await browser.fetch(page, {
        method: 'POST',
        body: new URLSearchParams({ xsrf, user_code: userCode, confirm: 'yes' }),
      })
      await browser.open(new URL(agreed.headers.get('location') ?? '', page).href)
    },
    redeem: (client, { code = '', verifier }, more = {}) =>
      requestTokens(client, {
        grant_type: 'authorization_code',
        code,
        code_verifier: verifier,
        redirect_uri: CALLBACK,
        ...more,
      }),
    refresh: (client, refreshToken, more = {}) =>
      requestTokens(client, {
        grant_type: 'refresh_token',
        refresh_token: refreshToken,
        ...more,
      }),
    signIn: async (client, asked, more) =>
      signIns.redeem(client, await signIns.authorize(client, asked, more)),
    post,
    close: async () => {
      await Promise.all(servers.map(({ close }) => close()))
    },
  }
  return signIns
}

/** Stands in for the pages: takes the next step of an interaction and goes on. */
async function agree(
  provider: Provider,
  { req, res }: { req: IncomingMessage; res: ServerResponse },
  user: User | undefined,
): Promise<void> {
  const { prompt, params, session } = await provider.interactionDetails(req, res)
  if (user === undefined) throw new Error('nobody is there')
  if (prompt.name === 'login') {
    // Whom the issuer does not take for anybody gives up.
    if (prompt.reasons.includes('sign_in_void')) {
      return provider.interactionFinished(req, res, { error: 'access_denied' })
    }
    return provider.interactionFinished(req, res, { login: { accountId: user.sub } })
  }
  const grant = new provider.Grant({
    accountId: session?.accountId ?? user.sub,
    clientId: String(params['client_id']),
  })
  grant.addOIDCScope(String(params['scope']))
  const missing = (prompt.details['missingResourceScopes'] ?? {}) as Record<string, string[]>
  for (const [resource, scopes] of Object.entries(missing)) grant.addResourceScope(resource, scopes)
  return provider.interactionFinished(req, res, { consent: { grantId: await grant.save() } })
}
