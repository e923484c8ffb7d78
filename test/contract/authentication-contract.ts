import { decodeJwt, exportJWK, generateKeyPair, SignJWT } from 'jose'
import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { DEVICE_CODE_GRANT } from '../../src/registry/client-metadata.ts'
import type { NewClientRequest } from '../../src/registry/client.ts'
import {
  AUTHORITY,
  FOR_CLIENTS,
  makeCertificate,
  toByteSequence,
  toJwkWithCertificate,
} from '../support/certificates.ts'
import { startPeople, type People } from '../support/people.ts'
import { startPerson, type Person } from '../support/person.ts'
import { createPkce } from '../support/relying-party.ts'
import type { StoreSettings } from '../support/store-settings.ts'

const CLIENT_CREDENTIALS = { grant_type: 'client_credentials' }

type Credentials = { headers?: Record<string, string>; fields?: Record<string, string> }
type Method = {
  client: NewClientRequest
  /** What a request needs, and what somebody else would send instead. */
  right: (clientId: string, secret: string) => Promise<Credentials>
  wrong: (clientId: string, secret: string) => Promise<Credentials>
}
type Client = {
  clientId: string
  right: () => Promise<Credentials>
  wrong: () => Promise<Credentials>
}
type Answer = { status: number } & Record<string, unknown>

const METHODS = [
  'client_secret_basic',
  'client_secret_post',
  'private_key_jwt',
  'tls_client_auth',
  'self_signed_tls_client_auth',
  'none',
] as const
type MethodName = (typeof METHODS)[number]

/** Every grant, and every endpoint at which clients authenticate, with every method of client authentication. */
export function describeAuthentication(openStore: () => Promise<StoreSettings>): void {
  let opened: StoreSettings
  let people: People
  let person: Person
  let methods: Record<MethodName, Method>
  beforeAll(async () => {
    opened = await openStore()
    const ca = await makeCertificate({ subject: '/CN=authority', extensions: AUTHORITY })
    people = await startPeople([
      ...opened.settings,
      'trustedProxies=127.0.0.1,::1',
      `issuer.tls.clientCa=${ca.certFile}`,
    ])
    await people.createUser({ username: 'mei' })
    person = startPerson({ username: 'mei' })
    methods = await makeMethods(people.issuer, ca)
  })
  afterAll(async () => {
    await people?.close()
    await opened?.stop()
  })

  async function createClient(name: MethodName, more: NewClientRequest = {}): Promise<Client> {
    const { client, right, wrong } = methods[name]
    const request = { ...client, ...more, token_endpoint_auth_method: name }
    const { clientId, clientSecret } = await people.gatehouse.createClient(request)
    return {
      clientId,
      right: () => right(clientId, clientSecret),
      wrong: () => wrong(clientId, clientSecret),
    }
  }
  const createApp = (name: MethodName) =>
    createClient(name, {
      grant_types: ['authorization_code', 'refresh_token', DEVICE_CODE_GRANT],
      redirect_uris: [people.relyingParty.callbackUrl],
    })

  async function post(path: string, credentials: Credentials, fields: object): Promise<Answer> {
    const response = await fetch(people.issuer + path, {
      method: 'POST',
      headers: { ...credentials.headers },
      body: new URLSearchParams({ ...fields, ...credentials.fields }),
    })
    const text = await response.text()
    return { ...(text === '' ? {} : (JSON.parse(text) as object)), status: response.status }
  }

  /** The same request, by somebody else and by the client. */
  async function ask(path: string, client: Client, fields: object): Promise<Answer> {
    const refused = await post(path, await client.wrong(), fields)
    expect([refused.status, refused['error']]).toEqual([401, 'invalid_client'])
    return post(path, await client.right(), fields)
  }
  const granted = { status: 200, access_token: expect.any(String) }
  const refresh = (client: Client, { refresh_token }: Answer) =>
    ask('/token', client, { grant_type: 'refresh_token', refresh_token })

  describe.each(METHODS)('%s', (name) => {
    test('a code is pushed, redeemed, refreshed, introspected and revoked', async () => {
      const client = await createApp(name)
      const { verifier, challenge } = createPkce()
      const { clientId } = client
      const pushed = await ask('/request', client, {
        client_id: clientId,
        response_type: 'code',
        redirect_uri: people.relyingParty.callbackUrl,
        scope: 'openid ocr_api_access',
        code_challenge: challenge,
        code_challenge_method: 'S256',
      })
      expect(pushed.status).toBe(201)
      const query = new URLSearchParams({
        client_id: clientId,
        request_uri: String(pushed['request_uri']),
      })
      const { searchParams } = await person.visit(`${people.issuer}/auth?${String(query)}`)
      const tokens = await ask('/token', client, {
        grant_type: 'authorization_code',
        code: searchParams.get('code') ?? '',
        code_verifier: verifier,
        redirect_uri: people.relyingParty.callbackUrl,
      })
      expect(tokens).toMatchObject(granted)
      const next = await refresh(client, tokens)
      expect(next).toMatchObject(granted)
      const { refresh_token: token } = next
      const introspect = () => ask('/token/introspection', client, { token })
      expect(await introspect()).toMatchObject({ active: true, client_id: clientId })
      expect((await ask('/token/revocation', client, { token })).status).toBe(200)
      expect(await introspect()).toEqual({ active: false, status: 200 })
    })

    test('a device is connected', async () => {
      const client = await createApp(name)
      const begun = await ask('/device/auth', client, { scope: 'openid ocr_api_access' })
      await person.visit(String(begun['verification_uri_complete']))
      const tokens = await ask('/token', client, {
        grant_type: DEVICE_CODE_GRANT,
        device_code: begun['device_code'],
      })
      expect(tokens).toMatchObject(granted)
      expect(await refresh(client, tokens)).toMatchObject(granted)
    })
  })

  test.each(METHODS.filter((name) => name !== 'none'))(
    '%s: a client gets a token for itself, and another for that',
    async (name) => {
      const client = await createClient(name, { client_credentials_refresh: true })
      const tokens = await ask('/token', client, CLIENT_CREDENTIALS)
      expect(tokens).toMatchObject(granted)
      expect(await refresh(client, tokens)).toMatchObject(granted)
    },
  )

  test('a client is what it is at the moment of the request, however often it was seen before', async () => {
    const { clients, tenants } = people.gatehouse.registry
    const tenantId = `tenant-${randomUUID()}`
    const client = await createClient('client_secret_basic', { tenant_id: tenantId })
    const request = async () => post('/token', await client.right(), CLIENT_CREDENTIALS)
    const limits = async () => decodeJwt(String((await request())['access_token']))['limits']
    expect(await limits()).toEqual({})
    await clients.update(client.clientId, { limits: { rpm: 3 } })
    expect(await limits()).toEqual({ client: { rpm: 3 } })
    await tenants.update(tenantId, { limits: { tenant: { rpm: 9 } } })
    expect(await limits()).toEqual({ client: { rpm: 3 }, tenant: { rpm: 9 } })
    await clients.disable(client.clientId)
    expect(await request()).toMatchObject({ status: 401, error: 'invalid_client' })
    await clients.enable(client.clientId)
    await tenants.suspend(tenantId)
    expect(await request()).toMatchObject({ status: 401, error: 'invalid_client' })
    await tenants.resume(tenantId)
    await clients.update(client.clientId, { limits: null })
    expect(await limits()).toEqual({ tenant: { rpm: 9 } })
    await clients.delete(client.clientId)
    expect(await request()).toMatchObject({ status: 401, error: 'invalid_client' })
  })

  test('a public client cannot have the grant of client credentials', async () => {
    const made = createClient('none', { grant_types: ['client_credentials'] })
    await expect(made).rejects.toThrow('without credentials')
    const app = await createApp('none')
    const refused = await ask('/token', app, CLIENT_CREDENTIALS)
    expect(refused).toMatchObject({ status: 400, error: 'unauthorized_client' })
  })
}

async function makeMethods(
  issuer: string,
  ca: Awaited<ReturnType<typeof makeCertificate>>,
): Promise<Record<MethodName, Method>> {
  const [key, otherKey] = await Promise.all([generateKeyPair('ES256'), generateKeyPair('ES256')])
  const certified = (subject: string, by?: typeof ca) =>
    makeCertificate({ subject, extensions: FOR_CLIENTS, ...(by && { by }) })
  const [robot, stranger] = [await certified('/CN=robot', ca), await certified('/CN=stranger', ca)]
  const [own, impostor] = [await certified('/CN=own'), await certified('/CN=own')]

  const basic = async (clientId: string, secret: string): Promise<Credentials> => ({
    headers: { authorization: `Basic ${Buffer.from(`${clientId}:${secret}`).toString('base64')}` },
  })
  const inBody = async (client_id: string, client_secret: string): Promise<Credentials> => ({
    fields: { client_id, client_secret },
  })
  const named = async (client_id: string): Promise<Credentials> => ({ fields: { client_id } })
  const assertedBy =
    (privateKey: CryptoKey) =>
    async (clientId: string): Promise<Credentials> => ({
      fields: {
        client_id: clientId,
        client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
        client_assertion: await new SignJWT({ jti: randomUUID() })
          .setProtectedHeader({ alg: 'ES256' })
          .setIssuer(clientId)
          .setSubject(clientId)
          .setAudience(issuer)
          .setIssuedAt()
          .setExpirationTime('1m')
          .sign(privateKey),
      },
    })
  const shown =
    (certificate: typeof ca) =>
    async (client_id: string): Promise<Credentials> => ({
      headers: { 'client-cert': toByteSequence(certificate) },
      fields: { client_id },
    })
  const keys = (...all: unknown[]): NewClientRequest => ({ jwks: { keys: all } as never })

  return {
    client_secret_basic: { client: {}, right: basic, wrong: (id) => basic(id, 'wrong') },
    client_secret_post: { client: {}, right: inBody, wrong: (id) => inBody(id, 'wrong') },
    private_key_jwt: {
      client: keys(await exportJWK(key.publicKey)),
      right: assertedBy(key.privateKey),
      wrong: assertedBy(otherKey.privateKey),
    },
    tls_client_auth: {
      client: { tls_client_auth_subject_dn: 'CN=robot' },
      right: shown(robot),
      wrong: shown(stranger),
    },
    self_signed_tls_client_auth: {
      client: keys(toJwkWithCertificate(own)),
      right: shown(own),
      wrong: shown(impostor),
    },
    none: { client: {}, right: named, wrong: () => named('nobody') },
  }
}
