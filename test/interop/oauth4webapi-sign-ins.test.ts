import * as oauth from 'oauth4webapi'
import { exportJWK } from 'jose'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { DEVICE_CODE_GRANT } from '../../src/registry/client-metadata.ts'
import type { NewClientRequest } from '../../src/registry/client.ts'
import type { User } from '../../src/registry/user.ts'
import { startModelServer, type ModelServer } from '../support/model-server.ts'
import { startPeople, type People } from '../support/people.ts'
import { startPerson, type Person } from '../support/person.ts'
import { waitUntil } from '../support/wait-until.ts'

const insecure = { [oauth.allowInsecureRequests]: true }

let model: ModelServer
let people: People
let as: oauth.AuthorizationServer
let mei: User
let person: Person
beforeAll(async () => {
  model = await startModelServer()
  people = await startPeople([`proxy.upstreams=${model.url}`])
  const issuer = new URL(people.issuer)
  const found = await oauth.discoveryRequest(issuer, insecure)
  as = await oauth.processDiscoveryResponse(issuer, found)
  mei = await people.createUser({ username: 'mei' })
  person = startPerson({ username: 'mei' })
})
afterAll(async () => {
  await people.close()
  await model.close()
})

type Party = { client: oauth.Client; auth: oauth.ClientAuth }
async function register(request: NewClientRequest = {}): Promise<Party> {
  const { clientId, clientSecret } = await people.gatehouse.createClient({
    grant_types: ['authorization_code', 'refresh_token', DEVICE_CODE_GRANT],
    redirect_uris: [people.relyingParty.callbackUrl],
    ...request,
  })
  const auth = clientSecret === '' ? oauth.None() : oauth.ClientSecretBasic(clientSecret)
  return { client: { client_id: clientId }, auth }
}

async function authorizationOf({ client }: Party) {
  const verifier = oauth.generateRandomCodeVerifier()
  const state = oauth.generateRandomState()
  const parameters = new URLSearchParams({
    client_id: client.client_id,
    response_type: 'code',
    redirect_uri: people.relyingParty.callbackUrl,
    scope: 'openid ocr_api_access',
    code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
    code_challenge_method: 'S256',
    state,
  })
  return { parameters, verifier, state }
}
type Begun = Awaited<ReturnType<typeof authorizationOf>>

async function redeem({ client, auth }: Party, answer: URL, { verifier, state }: Begun) {
  const parameters = oauth.validateAuthResponse(as, client, answer, state)
  const { callbackUrl } = people.relyingParty
  const response = await oauth.authorizationCodeGrantRequest(
    as,
    client,
    auth,
    parameters,
    callbackUrl,
    verifier,
    insecure,
  )
  const options = { requireIdToken: true }
  const tokens = await oauth.processAuthorizationCodeResponse(as, client, response, options)
  await oauth.validateApplicationLevelSignature(as, response, insecure)
  return tokens
}

async function signIn(party: Party) {
  const begun = await authorizationOf(party)
  const url = new URL(as.authorization_endpoint ?? '')
  url.search = begun.parameters.toString()
  return redeem(party, await person.visit(url), begun)
}

async function refresh({ client, auth }: Party, refreshToken = '') {
  const answer = await oauth.refreshTokenGrantRequest(as, client, auth, refreshToken, insecure)
  return oauth.processRefreshTokenResponse(as, client, answer)
}

async function introspect({ client, auth }: Party, token = '', requestJwtResponse = false) {
  const options = { requestJwtResponse, ...insecure }
  const response = await oauth.introspectionRequest(as, client, auth, token, options)
  const type = response.headers.get('content-type')
  const answer = await oauth.processIntrospectionResponse(as, client, response)
  if (requestJwtResponse) await oauth.validateApplicationLevelSignature(as, response, insecure)
  return { type, ...answer }
}

const callProxy = async (token: string) => {
  const url = new URL('/v1/models', people.gatehouse.config.proxy.url)
  const response = await oauth
    .protectedResourceRequest(token, 'GET', url, undefined, null, insecure)
    .catch(({ status }: { status: number }) => ({ status }))
  return response.status
}

describe('oauth4webapi', () => {
  test('finds the same in both metadata documents', async () => {
    const issuer = new URL(people.issuer)
    const found = await oauth.discoveryRequest(issuer, { algorithm: 'oauth2', ...insecure })
    expect(await oauth.processDiscoveryResponse(issuer, found)).toEqual(as)
  })

  test.each([
    ['a confidential client', 'client_secret_basic'],
    ['a public client', 'none'],
  ] as const)('signs a person in to %s; one token opens the proxy and /me', async (...kind) => {
    const party = await register({ token_endpoint_auth_method: kind[1] })
    const tokens = await signIn(party)
    expect(oauth.getValidatedIdTokenClaims(tokens)?.sub).toBe(mei.sub)
    expect(await callProxy(tokens.access_token)).toBe(200)
    const { client } = party
    const answer = await oauth.userInfoRequest(as, client, tokens.access_token, insecure)
    expect(await oauth.processUserInfoResponse(as, client, mei.sub, answer)).toEqual({
      sub: mei.sub,
    })
  })

  test('pushes its request, authenticated by private_key_jwt, and signs in with that', async () => {
    const keys = await oauth.generateKeyPair('ES256', { extractable: true })
    const made = await register({
      token_endpoint_auth_method: 'private_key_jwt',
      jwks: { keys: [await exportJWK(keys.publicKey)] } as never,
    })
    const party = { ...made, auth: oauth.PrivateKeyJwt(keys.privateKey) }
    const begun = await authorizationOf(party)
    const push = (by: Party) =>
      oauth
        .pushedAuthorizationRequest(as, by.client, by.auth, begun.parameters, insecure)
        .then((answer) => oauth.processPushedAuthorizationResponse(as, by.client, answer))
    await expect(push(made)).rejects.toMatchObject({ status: 401, error: 'invalid_client' })
    const { request_uri: requestUri } = await push(party)
    const url = new URL(as.authorization_endpoint ?? '')
    const { client_id: clientId } = party.client
    url.search = new URLSearchParams({ client_id: clientId, request_uri: requestUri }).toString()
    const tokens = await redeem(party, await person.visit(url), begun)
    const next = await refresh(party, tokens.refresh_token)
    expect(await callProxy(next.access_token)).toBe(200)
    expect(await introspect(party, next.access_token)).toMatchObject({ active: true })
  })

  test('refreshes: the token rotates, a retry gets the same, and a stolen one ends all', async () => {
    const party = await register()
    const first = await signIn(party)
    const second = await refresh(party, first.refresh_token)
    expect((await refresh(party, first.refresh_token)).refresh_token).toBe(second.refresh_token)
    const third = await refresh(party, second.refresh_token)
    await expect(refresh(party, first.refresh_token)).rejects.toMatchObject({
      error: 'invalid_grant',
    })
    await expect(refresh(party, third.refresh_token)).rejects.toMatchObject({
      error: 'invalid_grant',
    })
    await waitUntil('the refusal', async () => (await callProxy(third.access_token)) === 401)
  })

  test('connects a device, which first has to wait', async () => {
    const party = await register({ token_endpoint_auth_method: 'none' })
    const { client, auth } = party
    const scope = { scope: 'openid ocr_api_access' }
    const asked = await oauth.deviceAuthorizationRequest(as, client, auth, scope, insecure)
    const begun = await oauth.processDeviceAuthorizationResponse(as, client, asked)
    const poll = () =>
      oauth
        .deviceCodeGrantRequest(as, client, auth, begun.device_code, insecure)
        .then((answer) => oauth.processDeviceCodeResponse(as, client, answer))
    await expect(poll()).rejects.toMatchObject({ error: 'authorization_pending' })
    await person.visit(begun.verification_uri_complete ?? '')
    const tokens = await poll()
    expect(oauth.getValidatedIdTokenClaims(tokens)?.sub).toBe(mei.sub)
    expect(await callProxy(tokens.access_token)).toBe(200)
  })

  test('introspects in JSON and as a signed JWT (RFC 9701), and a stranger learns nothing', async () => {
    const [party, stranger] = [await register(), await register()]
    const { access_token: token, refresh_token: refreshToken } = await signIn(party)
    const type = 'application/token-introspection+jwt'
    for (const each of [token, refreshToken]) {
      const plain = await introspect(party, each)
      expect(plain).toMatchObject({ active: true, client_id: party.client.client_id, sub: mei.sub })
      expect(await introspect(party, each, true)).toEqual({ ...plain, type })
      expect(await introspect(stranger, each, true)).toEqual({ active: false, type })
    }
  })

  test('revokes an access token alone, and with a refresh token all of its grant', async () => {
    const party = await register()
    const { client, auth } = party
    const revoke = async (token = '') =>
      oauth.processRevocationResponse(
        await oauth.revocationRequest(as, client, auth, token, insecure),
      )
    const first = await signIn(party)
    await revoke(first.access_token)
    await waitUntil('the refusal', async () => (await callProxy(first.access_token)) === 401)
    const second = await refresh(party, first.refresh_token)
    expect(await callProxy(second.access_token)).toBe(200)
    await revoke(second.refresh_token)
    await waitUntil('the refusal', async () => (await callProxy(second.access_token)) === 401)
    expect((await introspect(party, second.refresh_token)).active).toBe(false)
  })
})
