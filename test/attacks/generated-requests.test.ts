import * as fc from 'fast-check'
import { rm } from 'node:fs/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { DEVICE_CODE_GRANT } from '../../src/registry/client-metadata.ts'
import { startGatehouse, type Gatehouse } from '../support/gatehouse.ts'
import { createMemoryFolder } from '../support/memory-folder.ts'
import { createRawClient, type RawAnswer, type RawClient } from '../support/raw-request.ts'
import { hostileText } from '../support/token-plans.ts'

/** For each endpoint. */
const REQUESTS = 1000
const AT_ONCE = 10
const CALLBACK = 'https://client.example/callback'
const SIGNED_OUT = 'https://client.example/signed-out'

let gatehouse: Gatehouse
let http: RawClient
let dataDir: string
let issuer: string
/** What belongs to a form of the issuer: its cookies, the token in it, and the code of a device that waits. */
let form: { cookie: string; xsrf: string; userCode: string }
beforeAll(async () => {
  dataDir = await createMemoryFolder()
  gatehouse = await startGatehouse('http://127.0.0.1:9', [
    `dataDir=${dataDir}`,
    'issuer.clientAuth.maxFailuresPerMinute=100000',
  ])
  issuer = gatehouse.config.issuer.url
  http = createRawClient(issuer, AT_ONCE)
  await gatehouse.createClient({
    client_id: 'the-app',
    name: 'm4rk<script>"\'',
    token_endpoint_auth_method: 'none',
    grant_types: ['authorization_code', 'refresh_token', DEVICE_CODE_GRANT],
    redirect_uris: [CALLBACK],
    post_logout_redirect_uris: [SIGNED_OUT],
  })
})
afterAll(async () => {
  http.close()
  await gatehouse.close()
  await rm(dataDir, { recursive: true })
})

async function openForm(): Promise<typeof form> {
  const headers = { accept: 'text/html' }
  const page = await http.send({ method: 'GET', path: '/device', headers })
  const cookies = [page.headers['set-cookie'] ?? []].flat().map((line) => line.split(';', 1)[0])
  const xsrf = /name="xsrf" value="([^"]+)"/.exec(page.text)?.[1]
  if (xsrf === undefined) throw new Error('no form')
  const begun = await http.send({
    path: '/device/auth',
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
    body: 'client_id=the-app&scope=openid',
  })
  const { user_code: userCode } = JSON.parse(begun.text) as { user_code: string }
  return { cookie: cookies.join('; '), xsrf, userCode }
}

/** What the endpoints take, with values that are in order; `XSRF` and `USER_CODE` stand for what is so. */
const AUTHORIZATION = {
  client_id: ['the-app'],
  response_type: ['code', 'token', 'code id_token'],
  redirect_uri: [CALLBACK, 'https://evil.example/', '//evil.example', 'javascript:alert(1)'],
  scope: ['openid ocr_api_access', 'openid', 'root'],
  state: ['m4rk<script>"\'', 'x'],
  code_challenge: ['a'.repeat(43)],
  code_challenge_method: ['S256', 'plain'],
  response_mode: ['query', 'fragment', 'form_post', 'web_message', 'jwt'],
  prompt: ['none', 'login', 'consent', 'select_account', 'none login'],
  max_age: ['0', '-1', '1e400', '60'],
  claims: ['{"id_token":{"sub":{"value":"x"}}}', '{"userinfo":5}', '[]', '{'],
  id_token_hint: ['eyJhbGciOiJub25lIn0.e30.', 'x'],
  request: ['eyJhbGciOiJub25lIn0.e30.'],
  request_uri: ['urn:ietf:params:oauth:request_uri:x', 'https://evil.example/'],
  resource: ['http://localhost:8080', 'https://elsewhere.example'],
  login_hint: ['m4rk<script>"\''],
  ui_locales: ['zh', 'm4rk'],
  dpop_jkt: ['x'],
  web_message_uri: ['https://evil.example/'],
  registration: ['{}'],
}
const SIGN_OUT = {
  client_id: ['the-app'],
  post_logout_redirect_uri: [SIGNED_OUT, 'https://evil.example/', '//evil.example'],
  id_token_hint: ['eyJhbGciOiJSUzI1NiJ9.eyJhdWQiOiJ0aGUtYXBwIn0.AA', 'x'],
  state: ['m4rk<script>"\''],
  logout_hint: ['m4rk<script>"\''],
}
const ENDPOINTS: Readonly<Record<string, Readonly<Record<string, readonly string[]>>>> = {
  'GET /auth': AUTHORIZATION,
  'POST /auth': AUTHORIZATION,
  'POST /request': AUTHORIZATION,
  'POST /device/auth': AUTHORIZATION,
  'POST /token/introspection': {
    client_id: ['the-app'],
    token: ['eyJhbGciOiJSUzI1NiJ9.e30.AA', 'x'],
    token_type_hint: ['access_token', 'refresh_token', 'x'],
  },
  'POST /token/revocation': {
    client_id: ['the-app'],
    token: ['eyJhbGciOiJSUzI1NiJ9.e30.AA', 'x'],
    token_type_hint: ['access_token', 'refresh_token', 'x'],
  },
  'GET /session/end': SIGN_OUT,
  'POST /session/end': SIGN_OUT,
  'POST /session/end/confirm': { xsrf: ['XSRF'], logout: ['yes', 'm4rk<script>"\''] },
  'GET /device': { user_code: ['USER_CODE', 'm4rk<script>"\''] },
  'POST /device': {
    xsrf: ['XSRF'],
    user_code: ['USER_CODE', 'm4rk<script>"\''],
    confirm: ['yes'],
    abort: ['yes'],
  },
}

/** How the endpoints answer what is in order; 200 unless said. */
const GOOD: Readonly<Record<string, number>> = {
  'GET /auth': 303,
  'POST /auth': 303,
  'POST /request': 201,
  'POST /session/end': 303,
  'POST /session/end/confirm': 303,
}

const NEEDED = new Set(
  'client_id response_type redirect_uri scope code_challenge code_challenge_method token xsrf user_code'.split(
    ' ',
  ),
)

type Generated = { pairs: string[]; isBrowser: boolean; hasForm: boolean; header: string }

/** The first value mostly; otherwise another, whatever bytes, the value twice, or none at all. */
function generated(fields: Readonly<Record<string, readonly string[]>>): fc.Arbitrary<Generated> {
  const pairs = Object.entries(fields).map(([name, values]) => {
    const pair = (value: string) => [`${name}=${encodeURIComponent(value)}`]
    const [first = ''] = values
    const isNeeded = NEEDED.has(name)
    return fc.oneof(
      { weight: isNeeded ? 30 : 3, arbitrary: fc.constant(pair(first)) },
      { weight: isNeeded ? 1 : 30, arbitrary: fc.constant<string[]>([]) },
      { weight: 3, arbitrary: fc.constantFrom(...values).map(pair) },
      { weight: 1, arbitrary: fc.constant([...pair(first), ...pair(first)]) },
      {
        weight: 1,
        // An address has to fit into 16 kB of head.
        arbitrary: hostileText.map((text) => [`${name}=${text.slice(0, 3000)}`]),
      },
    )
  })
  return fc.record({
    pairs: fc.tuple(...pairs).map((all) => all.flat()),
    isBrowser: fc.boolean(),
    hasForm: fc.boolean(),
    header: fc.constantFrom('', '', 'Basic dGhlLWFwcDp4', 'Basic x', 'Bearer x'),
  })
}

async function send(endpoint: string, { pairs, isBrowser, hasForm, header }: Generated) {
  const [method = '', path = ''] = endpoint.split(' ')
  const text = pairs.join('&').replaceAll('XSRF', form.xsrf).replaceAll('USER_CODE', form.userCode)
  // A request line is made of visible ASCII; what else there is travels percent-encoded.
  const query = text.replaceAll(/[^\x21-\x7e]/g, (character) => encodeURIComponent(character))
  return http.send({
    method,
    path: method === 'GET' ? `${path}?${query}` : path,
    headers: {
      accept: isBrowser ? 'text/html' : '*/*',
      ...(method === 'POST' && { 'content-type': 'application/x-www-form-urlencoded' }),
      ...(hasForm && { cookie: form.cookie }),
      ...(header && { authorization: header }),
    },
    body: method === 'POST' ? text : '',
  })
}

/** What is wrong with an answer, whatever the request was. */
function harmIn({ status, headers, text }: RawAnswer): string[] {
  const type = String(headers['content-type'])
  const isPage = type.startsWith('text/html')
  const cookies = [headers['set-cookie'] ?? []].flat()
  const problems: Record<string, boolean> = {
    'a failure': status >= 500,
    'a redirect that sends the form along (RFC 9700 §4.12)': [301, 302, 307, 308].includes(status),
    'an open redirect (CWE-601)': !isAllowedTarget(headers['location']),
    'a code for nobody': /[?&]code=/.test(String(headers['location'])),
    'a script (CWE-79)': isPage && /m4rk<|<script/i.test(text),
    'a page without a policy':
      isPage &&
      !String(headers['content-security-policy']).startsWith(
        "default-src 'none'; style-src 'self'; ",
      ),
    'neither a page nor JSON':
      !isPage && text !== '' && !/^application\/([\w-]+\+)?json/.test(type),
    'a cookie of somebody else (CWE-113)': cookies.some((each) => !each.startsWith('gatehouse_')),
  }
  return Object.keys(problems).filter((problem) => problems[problem] === true)
}

function isAllowedTarget(location: string | string[] | undefined): boolean {
  if (location === undefined) return true
  const target = new URL(String(location), issuer)
  if (target.origin === issuer) return true
  return [CALLBACK, SIGNED_OUT].includes(`${target.origin}${target.pathname}`)
}

test.each(Object.keys(ENDPOINTS))(
  `%s: ${REQUESTS} generated requests meet no failure, lead nowhere else and run no script`,
  async (endpoint) => {
    const statuses = new Set<number>()
    const some = fc.array(generated(ENDPOINTS[endpoint] ?? {}), {
      minLength: AT_ONCE,
      maxLength: AT_ONCE,
    })
    const property = fc.asyncProperty(some, async (requests) => {
      // Anew, as a refusal makes a form worthless.
      form = await openForm()
      await Promise.all(
        requests.map(async (request) => {
          const answer = await send(endpoint, request)
          statuses.add(answer.status)
          const harm = harmIn(answer)
          if (harm.length > 0) throw new Error(JSON.stringify({ harm, request, answer }, null, 1))
        }),
      )
    })
    await fc.assert(property, { numRuns: REQUESTS / AT_ONCE })
    expect(statuses, 'so that refusing everything does not pass').toContain(GOOD[endpoint] ?? 200)
  },
)
