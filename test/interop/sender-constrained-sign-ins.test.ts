import * as openid from 'openid-client'
import { decodeJwt } from 'jose'
import { getCACertificates, setDefaultCACertificates } from 'node:tls'
import { Agent, fetch as fetchOver } from 'undici'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { freePorts } from '../../src/cli/free-ports.ts'
import { DEVICE_CODE_GRANT } from '../../src/registry/client-metadata.ts'
import type { NewClientRequest } from '../../src/registry/client.ts'
import {
  AUTHORITY,
  FOR_CLIENTS,
  FOR_LOCALHOST,
  hasOpenssl,
  makeCertificate,
  toJwkWithCertificate,
  type Certified,
} from '../support/certificates.ts'
import { startModelServer, type ModelServer } from '../support/model-server.ts'
import { startPeople, type People } from '../support/people.ts'
import { startPerson, type Person } from '../support/person.ts'

/** A clock that is an hour slow, so that proofs need a nonce. */
const AN_HOUR_SLOW = -3600

let model: ModelServer
beforeAll(async () => {
  model = await startModelServer()
})
afterAll(() => model.close())

let people: People
let person: Person
let sub: string
const start = async (set: readonly string[] = []) => {
  people = await startPeople([`proxy.upstreams=${model.url}`, ...set])
  sub = (await people.createUser({ username: 'mei' })).sub
  person = startPerson({ username: 'mei' })
}

const app = (): NewClientRequest => ({
  grant_types: ['authorization_code', 'refresh_token', DEVICE_CODE_GRANT],
  redirect_uris: [people.relyingParty.callbackUrl],
})

async function authorizationOf() {
  const verifier = openid.randomPKCECodeVerifier()
  const state = openid.randomState()
  const parameters = {
    redirect_uri: people.relyingParty.callbackUrl,
    scope: 'openid ocr_api_access',
    code_challenge: await openid.calculatePKCECodeChallenge(verifier),
    code_challenge_method: 'S256',
    state,
  }
  return { parameters, checks: { pkceCodeVerifier: verifier, expectedState: state } }
}

const callProxy = (
  configuration: openid.Configuration,
  accessToken: string,
  options?: openid.DPoPOptions,
) =>
  openid
    .fetchProtectedResource(
      configuration,
      accessToken,
      new URL('/v1/models', people.gatehouse.config.proxy.url),
      'GET',
      null,
      undefined,
      options,
    )
    .then(
      ({ status }) => status,
      ({ status }: { status: number }) => status,
    )

describe('a sign-in that is bound to a key (RFC 9449)', () => {
  beforeAll(() => start())
  afterAll(() => people.close())

  async function discover(clockSkew = 0) {
    const { clientId } = await people.gatehouse.createClient({
      ...app(),
      token_endpoint_auth_method: 'none',
      dpop_bound_access_tokens: true,
    })
    const metadata = { [openid.clockSkew]: clockSkew }
    const configuration = await openid.discovery(
      new URL(people.issuer),
      clientId,
      metadata,
      openid.None(),
      { execute: [openid.allowInsecureRequests] },
    )
    const newKey = async () =>
      openid.getDPoPHandle(configuration, await openid.randomDPoPKeyPair('ES256'))
    return { configuration, newKey }
  }

  test.each([
    ['the right time', 0],
    ['an hour slow, by nonces', AN_HOUR_SLOW],
  ])('opens proxy and /me, and refreshes, with that key alone: %s', async (_clock, skew) => {
    const { configuration, newKey } = await discover(skew)
    const [DPoP, other] = [await newKey(), await newKey()]
    const { parameters, checks } = await authorizationOf()
    const url = await openid.buildAuthorizationUrlWithPAR(configuration, parameters, { DPoP })
    const answer = await person.visit(url)
    const first = await openid.authorizationCodeGrant(configuration, answer, checks, undefined, {
      DPoP,
    })
    const stolen = openid.refreshTokenGrant(configuration, first.refresh_token ?? '', undefined, {
      DPoP: other,
    })
    await expect(stolen).rejects.toMatchObject({ error: 'invalid_grant' })
    const bare = openid.refreshTokenGrant(configuration, first.refresh_token ?? '')
    await expect(bare).rejects.toMatchObject({ status: 400 })
    const second = await openid.refreshTokenGrant(
      configuration,
      first.refresh_token ?? '',
      undefined,
      { DPoP },
    )
    for (const { access_token: token, token_type: type } of [first, second]) {
      expect(type).toBe('dpop')
      expect(decodeJwt(token)['cnf']).toEqual({ jkt: await DPoP.calculateThumbprint() })
      expect(await callProxy(configuration, token, { DPoP })).toBe(200)
      expect(await callProxy(configuration, token, { DPoP: other })).toBe(401)
      expect(await callProxy(configuration, token)).toBe(401)
      expect(await openid.fetchUserInfo(configuration, token, sub, { DPoP })).toEqual({ sub })
      await expect(openid.fetchUserInfo(configuration, token, sub)).rejects.toThrow()
    }
  })

  test('a code that was asked for with one key is not redeemed with another (§10)', async () => {
    const { configuration, newKey } = await discover()
    const [DPoP, other] = [await newKey(), await newKey()]
    const jkt = await DPoP.calculateThumbprint()
    const redeemWith = async (key: openid.DPoPHandle) => {
      const { parameters, checks } = await authorizationOf()
      const asked = { ...parameters, dpop_jkt: jkt }
      const answer = await person.visit(openid.buildAuthorizationUrl(configuration, asked))
      return openid.authorizationCodeGrant(configuration, answer, checks, undefined, { DPoP: key })
    }
    await expect(redeemWith(other)).rejects.toMatchObject({ error: 'invalid_grant' })
    expect((await redeemWith(DPoP)).token_type).toBe('dpop')
  })

  test('a device binds what it gets', async () => {
    const { configuration, newKey } = await discover()
    const DPoP = await newKey()
    const scope = { scope: 'openid ocr_api_access' }
    const begun = await openid.initiateDeviceAuthorization(configuration, scope)
    await person.visit(begun.verification_uri_complete ?? '')
    const polling = openid.pollDeviceAuthorizationGrant(configuration, begun, undefined, { DPoP })
    const tokens = await polling
    expect(await callProxy(configuration, tokens.access_token, { DPoP })).toBe(200)
    expect(await callProxy(configuration, tokens.access_token)).toBe(401)
  })
})

describe.skipIf(!hasOpenssl)('a sign-in that is bound to a certificate (RFC 8705)', () => {
  let made: Record<'ca' | 'server' | 'robot' | 'own' | 'stranger', Certified>
  beforeAll(async () => {
    const ca = await makeCertificate({ subject: '/CN=authority', extensions: AUTHORITY })
    const issued = (subject: string) =>
      makeCertificate({ subject, extensions: FOR_CLIENTS, by: ca })
    made = {
      ca,
      server: await makeCertificate({ subject: '/CN=localhost', extensions: FOR_LOCALHOST }),
      robot: await issued('/CN=robot'),
      stranger: await issued('/CN=stranger'),
      own: await makeCertificate({ subject: '/CN=own' }),
    }
    setDefaultCACertificates([...getCACertificates(), made.server.cert])
    const [issuer, proxy] = await freePorts(2)
    const tlsOf = (role: string, port = 0) => [
      `${role}.url=https://localhost:${port}`,
      `${role}.listen=127.0.0.1:${port}`,
      `${role}.tls.cert=${made.server.certFile}`,
      `${role}.tls.key=${made.server.keyFile}`,
      `${role}.tls.clientCa=${ca.certFile}`,
    ]
    await start([...tlsOf('issuer', issuer), ...tlsOf('proxy', proxy)])
  })
  afterAll(() => people.close())

  /** What a user of the library hands it so that it uses a certificate. */
  const fetchAs = ({ cert, key }: Certified) => {
    const dispatcher = new Agent({ connect: { ca: made.server.cert, cert, key } })
    return async (url: string, init: object): Promise<Response> => {
      const answer = await fetchOver(url, { ...init, dispatcher })
      const [status, headers] = [answer.status, [...answer.headers] as [string, string][]]
      return new Response(await answer.arrayBuffer(), { status, headers })
    }
  }

  const METHODS = [
    ['tls_client_auth', 'robot'],
    ['self_signed_tls_client_auth', 'own'],
  ] as const
  test.each(METHODS)('%s: at every endpoint, with that certificate alone', async (method, name) => {
    const certificate = made[name]
    const { clientId } = await people.gatehouse.createClient({
      ...app(),
      token_endpoint_auth_method: method,
      tls_client_certificate_bound_access_tokens: true,
      ...(method === 'tls_client_auth'
        ? { tls_client_auth_subject_dn: 'CN=robot' }
        : { jwks: { keys: [toJwkWithCertificate(certificate)] } as never }),
    })
    const configuration = await openid.discovery(
      new URL(people.issuer),
      clientId,
      undefined,
      openid.TlsClientAuth(),
      { [openid.customFetch]: fetchAs(certificate) },
    )
    /** The right certificate and then, for the same, another one. */
    const with_ = async <Result>(other: Certified, act: () => Promise<Result>) => {
      configuration[openid.customFetch] = fetchAs(other)
      return act().finally(() => {
        configuration[openid.customFetch] = fetchAs(certificate)
      })
    }
    const expectStranger = (act: () => Promise<unknown>) =>
      expect(with_(made.stranger, act)).rejects.toMatchObject({ error: 'invalid_client' })
    configuration[openid.customFetch] = fetchAs(certificate)

    const { parameters, checks } = await authorizationOf()
    const push = () => openid.buildAuthorizationUrlWithPAR(configuration, parameters)
    await expectStranger(push)
    const answer = await person.visit(await push())
    const redeem = () => openid.authorizationCodeGrant(configuration, answer, checks)
    await expectStranger(redeem)
    const first = await redeem()
    const refresh = () => openid.refreshTokenGrant(configuration, first.refresh_token ?? '')
    await expectStranger(refresh)
    const second = await refresh()

    for (const { access_token: token } of [first, second]) {
      expect(decodeJwt(token)['cnf']).toHaveProperty('x5t#S256')
      const use = () => callProxy(configuration, token)
      expect([await use(), await with_(made.stranger, use)]).toEqual([200, 401])
      const ask = () => openid.fetchUserInfo(configuration, token, sub)
      expect(await ask()).toEqual({ sub })
      await expect(with_(made.stranger, ask)).rejects.toThrow()
    }
    const introspect = () => openid.tokenIntrospection(configuration, second.access_token)
    await expectStranger(introspect)
    expect(await introspect()).toMatchObject({
      active: true,
      cnf: decodeJwt(second.access_token)['cnf'],
    })
    const revoke = () => openid.tokenRevocation(configuration, second.refresh_token ?? '')
    await expectStranger(revoke)
    await revoke()
    const after = await openid.tokenIntrospection(configuration, second.refresh_token ?? '')
    expect(after.active).toBe(false)
  })
})
