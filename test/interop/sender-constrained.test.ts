import * as oauth4webapi from 'oauth4webapi'
import * as openid from 'openid-client'
import { exportJWK } from 'jose'
import { getCACertificates, setDefaultCACertificates } from 'node:tls'
import { Agent, fetch as fetchOver } from 'undici'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { freePorts } from '../../src/cli/free-ports.ts'
import { inspectToken } from '../../src/tokens/inspect.ts'
import {
  AUTHORITY,
  FOR_CLIENTS,
  FOR_LOCALHOST,
  hasOpenssl,
  makeCertificate,
  toJwkWithCertificate,
  type Certified,
} from '../support/certificates.ts'
import { startGatehouse, type Gatehouse } from '../support/gatehouse.ts'
import { startModelServer, type ModelServer } from '../support/model-server.ts'

/** A clock that is an hour slow, so that proofs need a nonce. */
const AN_HOUR_SLOW = -3600

let model: ModelServer
beforeAll(async () => {
  model = await startModelServer()
})
afterAll(() => model.close())

describe('over http on loopback', () => {
  let gatehouse: Gatehouse
  let issuer: URL
  let resource: URL
  beforeAll(async () => {
    gatehouse = await startGatehouse(model.url)
    issuer = new URL(gatehouse.config.issuer.url)
    resource = new URL('/v1/models', gatehouse.config.proxy.url)
  })
  afterAll(() => gatehouse.close())

  test.each([
    ['the right time', 0],
    ['an hour slow, by nonces', AN_HOUR_SLOW],
  ])('openid-client binds a token with DPoP and calls the proxy: %s', async (_clock, skew) => {
    const { clientId, clientSecret } = await gatehouse.createClient({
      dpop_bound_access_tokens: true,
    })
    const configuration = await openid.discovery(
      issuer,
      clientId,
      { client_secret: clientSecret, [openid.clockSkew]: skew },
      undefined,
      { algorithm: 'oauth2', execute: [openid.allowInsecureRequests] },
    )
    const DPoP = openid.getDPoPHandle(configuration, await openid.randomDPoPKeyPair('ES256'))
    for (let round = 0; round < 2; round += 1) {
      const tokens = await openid.clientCredentialsGrant(configuration, {}, { DPoP })
      expect(tokens.token_type).toBe('dpop')
      const response = await openid.fetchProtectedResource(
        configuration,
        tokens.access_token,
        resource,
        'GET',
        null,
        undefined,
        { DPoP },
      )
      expect(response.status).toBe(200)
    }
  })

  test('openid-client authenticates with private_key_jwt', async () => {
    const { publicKey, privateKey } = await openid.randomDPoPKeyPair('ES256', { extractable: true })
    const { clientId } = await gatehouse.createClient({
      token_endpoint_auth_method: 'private_key_jwt',
      jwks: { keys: [{ ...(await exportJWK(publicKey)), kid: 'k' }] } as never,
    })
    const configuration = await openid.discovery(
      issuer,
      clientId,
      undefined,
      openid.PrivateKeyJwt({ key: privateKey, kid: 'k' }),
      { execute: [openid.allowInsecureRequests] },
    )
    const tokens = await openid.clientCredentialsGrant(configuration)
    expect(tokens.token_type).toBe('bearer')
  })

  test('oauth4webapi binds a token with DPoP and private_key_jwt, by nonces, and validates it', async () => {
    const insecure = { [oauth4webapi.allowInsecureRequests]: true }
    const found = await oauth4webapi.discoveryRequest(issuer, { algorithm: 'oauth2', ...insecure })
    const as = await oauth4webapi.processDiscoveryResponse(issuer, found)
    const { publicKey, privateKey } = await oauth4webapi.generateKeyPair('ES256', {
      extractable: true,
    })
    const { clientId } = await gatehouse.createClient({
      token_endpoint_auth_method: 'private_key_jwt',
      jwks: { keys: [await exportJWK(publicKey)] } as never,
    })
    const slow = { client_id: clientId, [oauth4webapi.clockSkew]: AN_HOUR_SLOW }
    const keys = await oauth4webapi.generateKeyPair('ES256')
    const DPoP = oauth4webapi.DPoP(slow, keys)
    const client = { client_id: clientId }
    const ask = async () =>
      oauth4webapi.processClientCredentialsResponse(
        as,
        client,
        await oauth4webapi.clientCredentialsGrantRequest(
          as,
          client,
          oauth4webapi.PrivateKeyJwt(privateKey),
          {},
          { DPoP, ...insecure },
        ),
      )
    const refusal: unknown = await ask().catch((error: unknown) => error)
    expect(oauth4webapi.isDPoPNonceError(refusal)).toBe(true)
    const { access_token: accessToken, token_type: type } = await ask()
    expect(type).toBe('dpop')

    const call = () =>
      oauth4webapi.protectedResourceRequest(accessToken, 'GET', resource, undefined, null, {
        DPoP,
        ...insecure,
      })
    const challenged: unknown = await call().catch((error: unknown) => error)
    expect(oauth4webapi.isDPoPNonceError(challenged)).toBe(true)
    expect((await call()).status).toBe(200)
  })

  test('oauth4webapi finds in a DPoP token of ours what its proof needs (RFC 9449 §6)', async () => {
    const insecure = { [oauth4webapi.allowInsecureRequests]: true }
    const found = await oauth4webapi.discoveryRequest(issuer, { algorithm: 'oauth2', ...insecure })
    const as = await oauth4webapi.processDiscoveryResponse(issuer, found)
    const { clientId, clientSecret } = await gatehouse.createClient()
    const client = { client_id: clientId }
    const keys = await oauth4webapi.generateKeyPair('ES256')
    const DPoP = oauth4webapi.DPoP({}, keys)
    const response = await oauth4webapi.clientCredentialsGrantRequest(
      as,
      client,
      oauth4webapi.ClientSecretBasic(clientSecret),
      {},
      { DPoP, ...insecure },
    )
    const tokens = await oauth4webapi.processClientCredentialsResponse(as, client, response)
    let received: Request | undefined
    await oauth4webapi.protectedResourceRequest(
      tokens.access_token,
      'GET',
      resource,
      undefined,
      null,
      {
        DPoP,
        ...insecure,
        [oauth4webapi.customFetch]: async (url, { method, headers }) => {
          received = new Request(url, { method, headers })
          return new Response()
        },
      },
    )
    if (received === undefined) throw new Error('nothing was sent')
    const claims = await oauth4webapi.validateJwtAccessToken(
      as,
      received,
      resource.origin,
      insecure,
    )
    expect(claims.client_id).toBe(clientId)
  })
})

describe.skipIf(!hasOpenssl)('over TLS with a client certificate', () => {
  let gatehouse: Gatehouse
  let robot: Certified
  let own: Certified
  let server: Certified
  beforeAll(async () => {
    const ca = await makeCertificate({ subject: '/CN=authority', extensions: AUTHORITY })
    server = await makeCertificate({ subject: '/CN=localhost', extensions: FOR_LOCALHOST })
    robot = await makeCertificate({ subject: '/CN=robot', extensions: FOR_CLIENTS, by: ca })
    own = await makeCertificate({ subject: '/CN=own' })
    setDefaultCACertificates([...getCACertificates(), server.cert])
    const [issuer, proxy] = await freePorts(2)
    const tlsOf = (role: string, port = 0) => [
      `${role}.url=https://localhost:${port}`,
      `${role}.listen=127.0.0.1:${port}`,
      `${role}.tls.cert=${server.certFile}`,
      `${role}.tls.key=${server.keyFile}`,
      `${role}.tls.clientCa=${ca.certFile}`,
    ]
    gatehouse = await startGatehouse(model.url, [
      ...tlsOf('issuer', issuer),
      ...tlsOf('proxy', proxy),
    ])
  })
  afterAll(() => gatehouse.close())

  /** What a user of the libraries hands them so that they use a certificate. */
  const fetchAs = ({ cert, key }: Certified) => {
    const dispatcher = new Agent({ connect: { ca: server.cert, cert, key } })
    return async (url: string, init: object): Promise<Response> => {
      const { status, headers, ...response } = await fetchOver(url, { ...init, dispatcher }).then(
        async (answer) => ({
          status: answer.status,
          headers: [...answer.headers],
          body: await answer.arrayBuffer(),
        }),
      )
      return new Response(response.body, { status, headers })
    }
  }

  test('openid-client: tls_client_auth, a bound token, a call of the proxy', async () => {
    const { clientId } = await gatehouse.createClient({
      token_endpoint_auth_method: 'tls_client_auth',
      tls_client_auth_subject_dn: 'CN=robot',
      tls_client_certificate_bound_access_tokens: true,
    })
    const configuration = await openid.discovery(
      new URL(gatehouse.config.issuer.url),
      clientId,
      undefined,
      openid.TlsClientAuth(),
      { [openid.customFetch]: fetchAs(robot) },
    )
    configuration[openid.customFetch] = fetchAs(robot)
    const tokens = await openid.clientCredentialsGrant(configuration)
    expect(inspectToken(tokens.access_token).payload).toHaveProperty('cnf')
    const resource = new URL('/v1/models', gatehouse.config.proxy.url)
    const call = () =>
      openid.fetchProtectedResource(configuration, tokens.access_token, resource, 'GET')
    expect((await call()).status).toBe(200)
    configuration[openid.customFetch] = fetchAs(own)
    await expect(call()).rejects.toThrow(openid.WWWAuthenticateChallengeError)
  })

  test('oauth4webapi: self_signed_tls_client_auth', async () => {
    const { clientId } = await gatehouse.createClient({
      token_endpoint_auth_method: 'self_signed_tls_client_auth',
      jwks: { keys: [toJwkWithCertificate(own)] } as never,
    })
    const issuer = new URL(gatehouse.config.issuer.url)
    const found = await oauth4webapi.discoveryRequest(issuer, { algorithm: 'oauth2' })
    const as = await oauth4webapi.processDiscoveryResponse(issuer, found)
    const client = { client_id: clientId }
    const ask = async (certified: Certified) =>
      oauth4webapi.processClientCredentialsResponse(
        as,
        client,
        await oauth4webapi.clientCredentialsGrantRequest(
          as,
          client,
          oauth4webapi.TlsClientAuth(),
          {},
          { [oauth4webapi.customFetch]: fetchAs(certified) },
        ),
      )
    expect((await ask(own)).token_type).toBe('bearer')
    await expect(ask(robot)).rejects.toMatchObject({ error: 'invalid_client', status: 401 })
  })
})
