import { decodeJwt } from 'jose'
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import type { NewClientRequest } from '../../src/registry/client.ts'
import { REVOCATIONS } from '../../src/revocations/revocation.ts'
import { startFormBrowser, type FormBrowser } from '../support/form-sign-in.ts'
import { PASSWORD, startPeople, type People } from '../support/people.ts'

let people: People
beforeAll(async () => {
  people = await startPeople()
})
afterAll(() => people.close())
afterEach(() => {
  vi.useRealTimers()
})

let counted = 0
/** Somebody new, in a browser of their own. */
async function arrive(tenantId = 'default') {
  counted += 1
  const username = `person-${counted}`
  const user = await people.createUser({ username, tenant_id: tenantId })
  return { user, browser: startFormBrowser({ username, password: PASSWORD }) }
}

type Asked = { clientId: string; browser: FormBrowser }

/** What the client is told, with whatever it needs to redeem a code. */
async function authorize({ clientId, browser }: Asked, parameters: Record<string, string> = {}) {
  const { url, verifier } = people.authorization(clientId, parameters)
  const reached = await browser.authorize(url)
  return { reached, answer: Object.fromEntries(reached.searchParams), verifier }
}

/** What happens without anybody's doing: `code`, an error, or `asks` when a page of the issuer comes first. */
async function outcomeOf({ clientId, browser }: Asked, parameters: Record<string, string> = {}) {
  const { url } = people.authorization(clientId, parameters)
  const reached = await browser.open(url)
  if (reached.pathname.startsWith('/interaction/')) return 'asks'
  const answer = new URLSearchParams(reached.search || reached.hash.slice(1))
  return answer.get('error') ?? (answer.has('code') ? 'code' : 'page')
}

async function signIn(asked: Asked, parameters: Record<string, string> = {}) {
  const { answer, verifier } = await authorize(asked, parameters)
  return people.redeem(asked.clientId, answer['code'] ?? '', verifier)
}

const post = async (path: string, fields: Record<string, string>) => {
  const response = await fetch(`${people.issuer}${path}`, {
    method: 'POST',
    body: new URLSearchParams(fields),
  })
  const text = await response.text()
  const body = (text === '' ? {} : JSON.parse(text)) as Record<string, unknown>
  return { status: response.status, body }
}
const refresh = (clientId: string, refreshToken: unknown, more: Record<string, string> = {}) =>
  post('/token', {
    grant_type: 'refresh_token',
    client_id: clientId,
    refresh_token: String(refreshToken),
    ...more,
  })
const REFUSED = { status: 400, body: { error: 'invalid_grant' } }

const begin = async (request: NewClientRequest = {}) => {
  const clientId = await people.createApp(request)
  return { clientId, ...(await arrive(request.tenant_id)) }
}

describe('OpenID Connect Core §3.1.2.1: prompt and max_age', () => {
  test('prompt=none shows nothing: it gives a code, or says what would have to be asked', async () => {
    const asked = await begin()
    const other = await people.createApp()
    const none = { prompt: 'none' }
    expect(await outcomeOf(asked, none)).toBe('login_required')
    await signIn(asked)
    expect(await outcomeOf(asked, none)).toBe('code')
    expect(await outcomeOf({ ...asked, clientId: other }, none)).toBe('consent_required')
    expect(await outcomeOf(asked, { prompt: 'none login' })).toBe('invalid_request')
  })

  test('max_age=0 and prompt=login ask for the password again', async () => {
    const asked = await begin()
    await signIn(asked)
    expect(await outcomeOf(asked)).toBe('code')
    expect(await outcomeOf(asked, { max_age: '3600' })).toBe('code')
    expect(await outcomeOf(asked, { max_age: '0' })).toBe('asks')
    expect(await outcomeOf(asked, { prompt: 'login' })).toBe('asks')
    expect(await outcomeOf(asked, { max_age: '0', prompt: 'none' })).toBe('login_required')
    const { id_token: idToken = '' } = await signIn(asked, { max_age: '0' })
    expect(decodeJwt(idToken)['auth_time']).toEqual(expect.any(Number))
  })

  test('an id_token_hint about somebody else gives nothing of whoever is signed in', async () => {
    const asked = await begin()
    const { id_token: hint = '' } = await signIn(asked)
    const { browser } = await arrive()
    await signIn({ clientId: asked.clientId, browser })
    const withHint = { id_token_hint: hint, prompt: 'none' }
    expect(await outcomeOf(asked, withHint)).toBe('code')
    expect(await outcomeOf({ ...asked, browser }, withHint)).toBe('login_required')
    const forged = { ...withHint, id_token_hint: `${hint.slice(0, -8)}AAAAAAAA` }
    expect(await outcomeOf(asked, forged)).toBe('invalid_request')
  })
})

describe('whoever is stopped on the way', () => {
  const registry = () => people.gatehouse.registry

  test.each([
    ['the user is disabled', ({ sub }: { sub: string }) => registry().users.disable(sub), 'asks'],
    ['the user is deleted', ({ sub }: { sub: string }) => registry().users.delete(sub), 'asks'],
    [
      'the tenant is suspended',
      ({ tenantId }: { tenantId: string }) => registry().tenants.suspend(tenantId),
      'page',
    ],
    [
      'the tenant was suspended, although resumed',
      async ({ tenantId }: { tenantId: string }) => {
        await registry().tenants.suspend(tenantId)
        await registry().tenants.resume(tenantId)
      },
      'asks',
    ],
    [
      'the client is disabled',
      ({ clientId }: { clientId: string }) => registry().clients.disable(clientId),
      'page',
    ],
    [
      'the client was disabled, although enabled again',
      async ({ clientId }: { clientId: string }) => {
        await registry().clients.disable(clientId)
        await registry().clients.enable(clientId)
      },
      'code',
    ],
  ])('gets no token for a code or a device code when %s', async (_title, stop, later) => {
    counted += 1
    const tenantId = `tenant-${counted}`
    const asked = await begin({ tenant_id: tenantId })
    const { answer, verifier } = await authorize(asked)
    const device = await people.startDevice(asked.clientId)
    await asked.browser.connectDevice(people.issuer, device.user_code)
    await stop({ sub: asked.user.sub, tenantId, clientId: asked.clientId })
    const code = await people.redeem(asked.clientId, answer['code'] ?? '', verifier)
    expect(code).not.toHaveProperty('access_token')
    expect(['invalid_grant', 'invalid_client']).toContain(code.error)
    const polled = await people.pollDevice(asked.clientId, device.device_code)
    expect(polled).not.toHaveProperty('access_token')
    expect(await outcomeOf(asked)).toBe(later)
  })

  test('cannot agree on the page that was open', async () => {
    const { clientId, user, browser } = await begin()
    const page = await browser.open(people.authorization(clientId).url)
    const read = async (url: URL) => {
      const text = await (await browser.fetch(url.href)).text()
      return /name="form_token" value="([^"]+)"/.exec(text)?.[1] ?? ''
    }
    const submit = async (url: URL, fields: Record<string, string>) =>
      browser.fetch(url.href, {
        method: 'POST',
        body: new URLSearchParams({ form_token: await read(url), ...fields }),
      })
    const { username } = user
    const signedIn = await submit(page, { decision: 'sign_in', username, password: PASSWORD })
    const consent = await browser.open(new URL(signedIn.headers.get('location') ?? '', page).href)
    expect(consent.pathname).toMatch(/^\/interaction\//)
    const form_token = await read(consent)
    await registry().users.disable(user.sub)
    const answer = await browser.fetch(consent.href, {
      method: 'POST',
      body: new URLSearchParams({ form_token, decision: 'allow' }),
    })
    expect(answer.status).toBe(404)
  })
})

describe('RFC 8707 §2.2: a refresh for another resource', () => {
  test('is refused and costs nothing: the refresh token goes on', async () => {
    const asked = await begin()
    const tokens = (await signIn(asked)) as { refresh_token?: string }
    const admin = { resource: `${people.issuer}/admin` }
    for (const more of [admin, { resource: 'https://elsewhere.example' }, { scope: 'root' }]) {
      const refused = await refresh(asked.clientId, tokens.refresh_token, more)
      expect(refused.status).toBe(400)
      expect(['invalid_target', 'invalid_scope']).toContain(refused.body['error'])
    }
    // Had one of them used it up, it would be taken for stolen now that the time for a retry is over.
    vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 12_000 })
    expect((await refresh(asked.clientId, tokens.refresh_token)).status).toBe(200)
  })
})

describe('RFC 7009 §2.1: revoking a refresh token', () => {
  const isRevoked = async (token: string | undefined) => {
    const { jti } = decodeJwt(token ?? '')
    const entries = await people.gatehouse.store.read(REVOCATIONS, { limit: 10_000 })
    return entries.some(({ value }) => (value as { value: string }).value === jti)
  }

  test('ends the access tokens that came of it, and other clients cannot', async () => {
    const asked = await begin()
    const tokens = (await signIn(asked)) as { access_token?: string; refresh_token?: string }
    const token = tokens.refresh_token ?? ''
    const other = await people.createApp()
    const introspect = (clientId: string) =>
      post('/token/introspection', { client_id: clientId, token })
    await post('/token/revocation', { client_id: other, token })
    expect((await introspect(other)).body).toEqual({ active: false })
    expect((await introspect(asked.clientId)).body).toMatchObject({ active: true })
    expect(await isRevoked(tokens.access_token)).toBe(false)

    expect((await post('/token/revocation', { client_id: asked.clientId, token })).status).toBe(200)
    expect(await isRevoked(tokens.access_token)).toBe(true)
    expect((await introspect(asked.clientId)).body).toEqual({ active: false })
    expect(await refresh(asked.clientId, token)).toMatchObject(REFUSED)
  })
})

describe('RFC 8628: a device', () => {
  test('is told that its code has expired, and gets nothing for it then', async () => {
    const { clientId, browser } = await begin()
    const { device_code, user_code } = await people.startDevice(clientId)
    await browser.connectDevice(people.issuer, user_code)
    vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 601_000 })
    expect(await people.pollDevice(clientId, device_code)).toMatchObject({ error: 'expired_token' })
  })

  test('of another client gets nothing for the code', async () => {
    const { clientId, browser } = await begin()
    const { device_code, user_code } = await people.startDevice(clientId)
    await browser.connectDevice(people.issuer, user_code)
    const other = await people.createApp()
    expect(await people.pollDevice(other, device_code)).toMatchObject({ error: 'invalid_grant' })
    expect(await people.pollDevice(clientId, device_code)).toHaveProperty('access_token')
  })

  test.each([
    ['an unknown scope', { scope: 'root' }, 'invalid_scope'],
    ['an unknown resource', { resource: 'https://elsewhere.example' }, 'invalid_target'],
  ])('begins nothing with %s', async (_title, more, error) => {
    const fields = { client_id: await people.createApp(), scope: 'openid ocr_api_access', ...more }
    expect(await post('/device/auth', fields)).toMatchObject({ status: 400, body: { error } })
  })
})

describe('what is off', () => {
  test.each([
    ['request', 'eyJhbGciOiJub25lIn0.e30.', 'request_not_supported'],
    ['request_uri', 'https://evil.example/request', 'request_uri_not_supported'],
    ['registration', '{}', 'registration_not_supported'],
    ['response_mode', 'web_message', 'unsupported_response_mode'],
    ['response_type', 'code id_token', 'unsupported_response_type'],
  ])('%s at the authorization endpoint', async (name, value, error) => {
    expect(await outcomeOf(await begin(), { [name]: value })).toBe(error)
  })

  test('claims are not to be asked for one by one, and the metadata says what is off', async () => {
    const asked = await begin()
    const claims = JSON.stringify({ id_token: { preferred_username: { essential: true } } })
    const { id_token: idToken = '' } = await signIn(asked, { claims })
    expect(decodeJwt(idToken)).not.toHaveProperty('preferred_username')
    const url = `${people.issuer}/.well-known/openid-configuration`
    const metadata = (await (await fetch(url)).json()) as Record<string, unknown>
    expect(metadata['request_parameter_supported'], 'false unless said').toBeUndefined()
    expect(metadata).not.toHaveProperty('registration_endpoint')
    expect(metadata).toMatchObject({
      claims_parameter_supported: false,
      response_types_supported: ['code'],
      code_challenge_methods_supported: ['S256'],
      authorization_response_iss_parameter_supported: true,
    })
  })

  test('client registration', async () => {
    for (const path of ['/reg', '/register', '/connect/register', '/reg/x']) {
      expect((await fetch(`${people.issuer}${path}`, { method: 'POST' })).status).toBe(404)
    }
  })

  test('a client that has to push its requests is not let in by an address', async () => {
    const asked = await begin({ require_pushed_authorization_requests: true })
    expect(await outcomeOf(asked)).toBe('invalid_request')
  })
})

test('CWE-331: refresh tokens and codes have at least 256 bits and never recur', async () => {
  const asked = await begin()
  const seen = new Set<string>()
  for (let round = 0; round < 20; round += 1) {
    const { answer, verifier } = await authorize(asked)
    const code = answer['code'] ?? ''
    const tokens = (await people.redeem(asked.clientId, code, verifier)) as {
      refresh_token?: string
    }
    for (const each of [code, tokens.refresh_token ?? '']) {
      expect(each).toMatch(/^[\w-]{43}$/)
      seen.add(each)
    }
  }
  expect(seen.size).toBe(40)
})
