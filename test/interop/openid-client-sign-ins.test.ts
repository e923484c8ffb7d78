import * as openid from 'openid-client'
import { decodeJwt } from 'jose'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { NewClientRequest } from '../../src/registry/client.ts'
import type { User } from '../../src/registry/user.ts'
import { startModelServer, type ModelServer } from '../support/model-server.ts'
import { startPeople, type People } from '../support/people.ts'
import { startPerson, type Person } from '../support/person.ts'
import { waitUntil } from '../support/wait-until.ts'

const RESOURCE = 'https://ocr.example'
const OTHER_RESOURCE = 'https://archive.example/api'

let model: ModelServer
let people: People
let mei: User
let person: Person
beforeAll(async () => {
  model = await startModelServer()
  const resources = {
    [RESOURCE]: { scopes: ['ocr_api_access'] },
    [OTHER_RESOURCE]: { scopes: ['archive:read'] },
  }
  people = await startPeople([
    `proxy.upstreams=${model.url}`,
    `proxy.url=${RESOURCE}`,
    `resources=${JSON.stringify(resources)}`,
  ])
  mei = await people.createUser({ username: 'mei', scope: 'ocr_api_access archive:read' })
  person = startPerson({ username: 'mei' })
})
afterAll(async () => {
  await people.close()
  await model.close()
})

/** The library as the client's own code sets it up, checking the signatures of what it is told. */
async function discover(request: NewClientRequest = {}) {
  const { clientId, clientSecret } = await people.gatehouse.createClient({
    grant_types: ['authorization_code', 'refresh_token'],
    redirect_uris: [people.relyingParty.callbackUrl],
    post_logout_redirect_uris: [people.relyingParty.postLogoutUrl],
    scope: 'ocr_api_access archive:read',
    ...request,
  })
  return openid.discovery(
    new URL(people.issuer),
    clientId,
    clientSecret === '' ? undefined : clientSecret,
    clientSecret === '' ? openid.None() : undefined,
    { execute: [openid.allowInsecureRequests, openid.enableNonRepudiationChecks] },
  )
}

type Asked = Record<string, string>

async function authorizationOf(more: Asked = {}) {
  const verifier = openid.randomPKCECodeVerifier()
  const [state, nonce] = [openid.randomState(), openid.randomNonce()]
  return {
    parameters: {
      redirect_uri: people.relyingParty.callbackUrl,
      scope: 'openid ocr_api_access',
      code_challenge: await openid.calculatePKCECodeChallenge(verifier),
      code_challenge_method: 'S256',
      state,
      nonce,
      ...more,
    },
    checks: { pkceCodeVerifier: verifier, expectedState: state, expectedNonce: nonce },
  }
}

async function signIn(configuration: openid.Configuration, more: Asked = {}) {
  const { parameters, checks } = await authorizationOf(more)
  const url = openid.buildAuthorizationUrl(configuration, parameters)
  return openid.authorizationCodeGrant(configuration, await person.visit(url), checks)
}

const callProxy = async (configuration: openid.Configuration, accessToken: string) =>
  openid
    .fetchProtectedResource(
      configuration,
      accessToken,
      new URL('/v1/models', `http://${people.gatehouse.config.proxy.listen}`),
      'GET',
    )
    .then(({ status }) => status)

describe('openid-client', () => {
  test('signs a person in by code and PKCE; one token opens the proxy and /me', async () => {
    const configuration = await discover()
    const tokens = await signIn(configuration, { scope: 'openid profile ocr_api_access' })
    expect(tokens.claims()).toMatchObject({ sub: mei.sub, iss: people.issuer })
    expect(await callProxy(configuration, tokens.access_token)).toBe(200)
    expect(await openid.fetchUserInfo(configuration, tokens.access_token, mei.sub)).toMatchObject({
      sub: mei.sub,
      preferred_username: 'mei',
    })
  })

  test('does not take the answer of another issuer for ours (RFC 9207)', async () => {
    const configuration = await discover()
    const { parameters, checks } = await authorizationOf()
    const answer = await person.visit(openid.buildAuthorizationUrl(configuration, parameters))
    const [forged, bare] = [new URL(answer), new URL(answer)]
    forged.searchParams.set('iss', 'https://attacker.example')
    bare.searchParams.delete('iss')
    for (const each of [forged, bare]) {
      const redeeming = openid.authorizationCodeGrant(configuration, each, checks)
      await expect(redeeming).rejects.toMatchObject({ code: 'OAUTH_INVALID_RESPONSE' })
    }
    const tokens = await openid.authorizationCodeGrant(configuration, answer, checks)
    expect(tokens.claims()?.sub).toBe(mei.sub)
  })

  test('pushes its request (RFC 9126)', async () => {
    const configuration = await discover()
    const { parameters, checks } = await authorizationOf()
    const url = await openid.buildAuthorizationUrlWithPAR(configuration, parameters)
    expect([...url.searchParams.keys()].toSorted()).toEqual(['client_id', 'request_uri'])
    const answer = await person.visit(url)
    const tokens = await openid.authorizationCodeGrant(configuration, answer, checks)
    expect(tokens.claims()?.sub).toBe(mei.sub)
  })

  test('names a resource, and gets a token for that alone (RFC 8707)', async () => {
    const configuration = await discover()
    const resource = OTHER_RESOURCE
    const tokens = await signIn(configuration, { resource, scope: 'openid archive:read' })
    expect(decodeJwt(tokens.access_token)).toMatchObject({ aud: resource, scope: 'archive:read' })
    await expect(callProxy(configuration, tokens.access_token)).rejects.toThrow(
      openid.WWWAuthenticateChallengeError,
    )
    const unknown = signIn(configuration, { resource: 'https://elsewhere.example' })
    await expect(unknown).rejects.toMatchObject({ error: 'invalid_target' })
  })

  test('refreshes; what was used before ends the grant, and its live tokens at the proxy', async () => {
    const configuration = await discover()
    const first = await signIn(configuration)
    const second = await openid.refreshTokenGrant(configuration, first.refresh_token ?? '')
    const retried = await openid.refreshTokenGrant(configuration, first.refresh_token ?? '')
    expect(retried.refresh_token).toBe(second.refresh_token)
    const third = await openid.refreshTokenGrant(configuration, second.refresh_token ?? '')
    expect(new Set([first, second, third].map((each) => each.refresh_token)).size).toBe(3)
    expect(await callProxy(configuration, third.access_token)).toBe(200)

    for (const used of [first, third]) {
      const refused = openid.refreshTokenGrant(configuration, used.refresh_token ?? '')
      await expect(refused).rejects.toMatchObject({ error: 'invalid_grant', status: 400 })
    }
    for (const { access_token: token } of [first, second, retried, third]) {
      await waitUntil('the refusal', () =>
        callProxy(configuration, token).then(
          () => false,
          () => true,
        ),
      )
    }
  })

  test('connects a device (RFC 8628)', async () => {
    const configuration = await discover({
      token_endpoint_auth_method: 'none',
      grant_types: ['urn:ietf:params:oauth:grant-type:device_code', 'refresh_token'],
      redirect_uris: [],
      post_logout_redirect_uris: [],
    })
    const begun = await openid.initiateDeviceAuthorization(configuration, {
      scope: 'openid ocr_api_access',
    })
    await person.visit(begun.verification_uri_complete ?? '')
    const tokens = await openid.pollDeviceAuthorizationGrant(configuration, begun)
    expect(decodeJwt(tokens.access_token)['sub']).toBe(mei.sub)
    expect(await callProxy(configuration, tokens.access_token)).toBe(200)
    const next = await openid.refreshTokenGrant(configuration, tokens.refresh_token ?? '')
    expect(await callProxy(configuration, next.access_token)).toBe(200)
  })

  test('refreshes what a client got for itself, when that was allowed', async () => {
    const itself: NewClientRequest = {
      grant_types: ['client_credentials'],
      redirect_uris: [],
      post_logout_redirect_uris: [],
      scope: 'ocr_api_access',
    }
    const without = await openid.clientCredentialsGrant(await discover(itself))
    expect(without.refresh_token).toBeUndefined()
    const configuration = await discover({ ...itself, client_credentials_refresh: true })
    const first = await openid.clientCredentialsGrant(configuration)
    const second = await openid.refreshTokenGrant(configuration, first.refresh_token ?? '')
    expect(await callProxy(configuration, second.access_token)).toBe(200)
    expect(second.refresh_token).not.toBe(first.refresh_token)
  })

  test('introspects tokens of both kinds, and revokes either', async () => {
    const configuration = await discover()
    const isActive = async (token: string | undefined) =>
      (await openid.tokenIntrospection(configuration, token ?? '')).active
    const one = await signIn(configuration)
    expect(await openid.tokenIntrospection(configuration, one.access_token)).toMatchObject({
      active: true,
      sub: mei.sub,
      token_type: 'Bearer',
    })
    expect(await isActive(one.refresh_token)).toBe(true)
    await openid.tokenRevocation(configuration, one.access_token)
    await waitUntil('the end of it', async () => !(await isActive(one.access_token)))
    expect(await isActive(one.refresh_token)).toBe(true)

    const two = await openid.refreshTokenGrant(configuration, one.refresh_token ?? '')
    expect(await callProxy(configuration, two.access_token)).toBe(200)
    await openid.tokenRevocation(configuration, two.refresh_token ?? '')
    expect(await isActive(two.refresh_token)).toBe(false)
    await waitUntil('the end of the grant', async () => !(await isActive(two.access_token)))
    const refused = openid.refreshTokenGrant(configuration, two.refresh_token ?? '')
    await expect(refused).rejects.toMatchObject({ error: 'invalid_grant' })
  })

  test('signs the person out, who comes back and has to sign in again', async () => {
    const configuration = await discover()
    const own = startPerson({ username: 'mei' })
    const { parameters, checks } = await authorizationOf()
    const answer = await own.visit(openid.buildAuthorizationUrl(configuration, parameters))
    const tokens = await openid.authorizationCodeGrant(configuration, answer, checks)
    const back = await own.visit(
      openid.buildEndSessionUrl(configuration, {
        id_token_hint: tokens.id_token ?? '',
        post_logout_redirect_uri: people.relyingParty.postLogoutUrl,
        state: 'bye',
      }),
    )
    expect(back.href).toBe(`${people.relyingParty.postLogoutUrl}?state=bye`)
    const silent = await authorizationOf({ prompt: 'none' })
    const url = openid.buildAuthorizationUrl(configuration, silent.parameters)
    const refused = openid.authorizationCodeGrant(
      configuration,
      await own.visit(url),
      silent.checks,
    )
    await expect(refused).rejects.toMatchObject({ error: 'login_required' })
    const ended = openid.refreshTokenGrant(configuration, tokens.refresh_token ?? '')
    await expect(ended).rejects.toMatchObject({ error: 'invalid_grant' })
  })
})
