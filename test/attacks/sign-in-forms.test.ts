import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createGuessLimits } from '../../src/registry/guess-limits.ts'
import { createTenantRecords } from '../../src/registry/tenant-keeping.ts'
import { createUserRecords } from '../../src/registry/user-keeping.ts'
import { createUsers } from '../../src/registry/users.ts'
import { createRevokeAround } from '../../src/revocations/revoke-around.ts'
import { PASSWORD, startPeople, type People } from '../support/people.ts'
import { openTestSqlite } from '../support/stores.ts'

let people: People
let clientId: string
beforeAll(async () => {
  people = await startPeople()
  clientId = await people.createApp({ name: 'Archive Viewer' })
  await people.createUser({ username: 'mei' })
})
afterAll(() => people.close())

type Begun = { url: string; cookie: string; token: string; response: Response }
const BROWSER = { accept: 'text/html' }

/** What a browser has when it shows the sign-in page. */
async function begin(cookies = ''): Promise<Begun> {
  const { url } = people.authorization(clientId)
  const redirect = await fetch(url, {
    headers: { ...BROWSER, cookie: cookies },
    redirect: 'manual',
  })
  const cookie = cookiesOf(redirect)
  const page = new URL(redirect.headers.get('location') ?? '', people.issuer).href
  const response = await fetch(page, { headers: { ...BROWSER, cookie } })
  const token = /name="form_token" value="([^"]+)"/.exec(await response.clone().text())?.[1] ?? ''
  return { url: page, cookie, token, response }
}

const cookiesOf = (response: Response) =>
  response.headers
    .getSetCookie()
    .map((line) => line.split(';', 1)[0])
    .join('; ')

function submit({ url, cookie }: Pick<Begun, 'url' | 'cookie'>, fields: Record<string, string>) {
  return fetch(url, {
    method: 'POST',
    redirect: 'manual',
    headers: { ...BROWSER, cookie },
    body: new URLSearchParams(fields),
  })
}

const credentials = { decision: 'sign_in', username: 'mei', password: PASSWORD }

describe('CWE-352, cross-site request forgery', () => {
  test('a form without the token of this very page is refused', async () => {
    const [mine, other] = [await begin(), await begin()]
    for (const form_token of ['', 'x', other.token, `${mine.token}A`]) {
      const refused = await submit(mine, { ...credentials, form_token })
      expect(refused.status).toBe(404)
      expect(await refused.text()).toContain('This page has expired')
    }
    expect((await submit(mine, { ...credentials, form_token: mine.token })).status).toBe(303)
  })

  test('a token without the cookies of its browser is worth nothing', async () => {
    const { url, token } = await begin()
    expect((await submit({ url, cookie: '' }, { ...credentials, form_token: token })).status).toBe(
      404,
    )
    const other = await begin()
    const crossed = await submit(
      { url, cookie: other.cookie },
      { ...credentials, form_token: token },
    )
    expect(crossed.status).toBe(404)
  })

  test('a cookie that was changed does not count', async () => {
    const { url, cookie, token } = await begin()
    const forged = cookie.replaceAll(/(\.sig=.)[^;]*/g, '$1AAAA')
    expect(
      (await submit({ url, cookie: forged }, { ...credentials, form_token: token })).status,
    ).toBe(404)
  })

  test('the forms of device and sign-out want their token, too', async () => {
    for (const [path, status] of Object.entries({ '/device': 404, '/session/end/confirm': 400 })) {
      const refused = await submit(
        { url: people.issuer + path, cookie: '' },
        { xsrf: 'guessed', user_code: 'BBBB-BBBB', logout: 'yes' },
      )
      expect(refused.status, `at ${path}`).toBe(status)
      expect(await refused.text()).toContain('This page has expired')
    }
  })
})

describe('a sign-in that is over', () => {
  test('is not taken again', async () => {
    const step = await begin()
    const done = await submit(step, { ...credentials, form_token: step.token })
    const resume = done.headers.get('location') ?? ''
    const first = await fetch(resume, {
      headers: { ...BROWSER, cookie: step.cookie },
      redirect: 'manual',
    })
    expect(first.status).toBe(303)
    const replayed = await submit(step, { ...credentials, form_token: step.token })
    expect(replayed.status).toBe(404)
    const again = await fetch(resume, {
      headers: { ...BROWSER, cookie: step.cookie },
      redirect: 'manual',
    })
    expect(again.status).toBe(400)
  })
})

describe('what a browser is told', () => {
  test('CWE-1021: nothing may frame, keep, sniff or run what is on a page', async () => {
    const { response } = await begin()
    expect(Object.fromEntries(response.headers)).toMatchObject({
      'cache-control': 'no-store',
      'referrer-policy': 'same-origin',
      'x-content-type-options': 'nosniff',
      'x-frame-options': 'DENY',
      'permissions-policy': expect.stringContaining('camera=()'),
    })
    const policy = response.headers.get('content-security-policy')
    expect(policy).toBe(
      `default-src 'none'; style-src 'self'; form-action 'self' ${new URL(people.relyingParty.callbackUrl).origin}; base-uri 'none'; frame-ancestors 'none'`,
    )
    expect(response.headers.has('strict-transport-security'), 'plain http').toBe(false)
  })

  test('cookies are signed, unseen by scripts, and not sent along by other sites', async () => {
    const { url } = people.authorization(clientId)
    const lines = (await fetch(url, { redirect: 'manual' })).headers.getSetCookie()
    expect(lines.length).toBeGreaterThan(0)
    for (const line of lines) expect(line).toMatch(/samesite=lax; httponly/i)
    expect(lines.filter((line) => /^[^=]+\.sig=/.test(line)).length).toBe(lines.length / 2)
  })

  test('no other origin may read the authorization endpoint, and no credentials are sent on', async () => {
    const { url } = people.authorization(clientId)
    const answer = await fetch(url, {
      redirect: 'manual',
      headers: { origin: 'https://evil.example' },
    })
    expect([...answer.headers.keys()].filter((name) => name.startsWith('access-control'))).toEqual(
      [],
    )
    expect((await fetch(url, { method: 'OPTIONS' })).status).toBe(405)
    const step = await begin()
    const done = await submit(step, { ...credentials, form_token: step.token })
    expect(done.status, 'RFC 9700 §4.12').toBe(303)
    expect(new URL(done.headers.get('location') ?? '').origin).toBe(people.issuer)
  })

  test('a client that speaks JSON gets its error in JSON', async () => {
    const bad = people.authorization(clientId, { redirect_uri: 'https://evil.example/' }).url
    const response = await fetch(bad, { headers: { accept: '*/*' }, redirect: 'manual' })
    expect(response.status).toBe(400)
    expect(await response.json()).toMatchObject({ error: 'invalid_redirect_uri' })
  })
})

describe('CWE-204, who exists', () => {
  test('an unknown user, one of another tenant and a wrong password get the same answer', async () => {
    await people.createUser({ username: 'zoe', tenant_id: 'other' })
    const answers = []
    for (const username of ['mei', 'zoe', 'nobody']) {
      const step = await begin()
      const form = { decision: 'sign_in', username, password: 'not the password' }
      const response = await submit(step, { ...form, form_token: step.token })
      const body = (await response.text())
        .replaceAll(step.token, 'TOKEN')
        .replaceAll(new URL(step.url).pathname, 'PATH')
        .replaceAll(`value="${username}"`, 'value="NAME"')
      answers.push({ status: response.status, body })
    }
    expect(answers[1]).toEqual(answers[0])
    expect(answers[2]).toEqual(answers[0])
    expect(answers[0]?.status).toBe(400)
  })

  test('the same work is done for whoever exists and whoever does not', async () => {
    const { store, stop } = await openTestSqlite(Date.now)
    let verified = 0
    const users = createUsers({
      store,
      clock: Date.now,
      pool: {
        hash: async () => '$argon2id$of-a-test',
        verify: async () => {
          verified += 1
          return false
        },
      },
      limits: createGuessLimits(Date.now, 30),
      records: createUserRecords(store),
      tenants: createTenantRecords(store),
      revokeAround: createRevokeAround(store, Date.now),
    })
    for (const username of ['nobody', '', 'not a possible name \u0000']) {
      const before = verified
      await users.verifyPassword({ tenantId: 'default', username, password: 'x', address: '::1' })
      expect(verified - before, `for ${username}`).toBe(1)
    }
    await stop()
  })
})

describe('a form that is none', () => {
  test.each([
    ['too large', { 'content-type': 'application/x-www-form-urlencoded' }, 'a'.repeat(20_000), 413],
    ['JSON', { 'content-type': 'application/json' }, '{}', 415],
    ['ambiguous', { 'content-type': 'application/x-www-form-urlencoded' }, 'a=1&a=2', 400],
  ] as const)('is refused when it is %s', async (_name, headers, body, status) => {
    const { url, cookie } = await begin()
    const response = await fetch(url, {
      method: 'POST',
      headers: { ...BROWSER, cookie, ...headers },
      body,
    })
    expect(response.status).toBe(status)
    expect(response.headers.get('content-type')).toContain('text/html')
  })
})

test('nothing that was typed reaches the log', () => {
  const log = JSON.stringify(people.gatehouse.logged)
  expect(log).toContain('sign_in.granted')
  expect(log).toContain('sign_in.refused')
  for (const secret of [PASSWORD, 'not the password', '"mei"']) {
    expect(log).not.toContain(secret)
  }
})
