import { createSecretKey } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { importJWK, SignJWT } from 'jose'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { removeCompromised } from '../../src/keys/lifecycle.ts'
import { generateSigningKey, parseRing } from '../../src/keys/ring-file.ts'
import { activeKey, type ActiveKey } from '../../src/keys/ring.ts'
import { startGatehouse, type Gatehouse } from '../support/gatehouse.ts'
import { startModelServer, type ModelServer } from '../support/model-server.ts'
import { goodClaims } from '../support/test-issuer.ts'
import {
  NotDownloaded,
  VERIFIER_EXAMPLES,
  type RunningExample,
} from '../support/verifier-examples.ts'
import { waitUntil } from '../support/wait-until.ts'

/** Downloading, compiling and starting all of them at once on two cores. */
const START_MS = 300_000
const AUDIENCE = 'http://localhost:8080'

const skipped = VERIFIER_EXAMPLES.flatMap(({ name, missing }) => {
  const reason = missing()
  return reason === undefined ? [] : [{ name, reason }]
})
for (const { name, reason } of skipped) {
  console.warn(`!!! examples/${name} IS NOT TRIED: ${reason} !!!`)
}
const tried = VERIFIER_EXAMPLES.filter(({ name }) => skipped.every((each) => each.name !== name))

let service: ModelServer
let gatehouse: Gatehouse
let issuer: string
let signing: ActiveKey
const running = new Map<string, RunningExample>()

const ringPath = () => join(gatehouse.config.keys.dir, 'ring.json')
const loadRing = () => parseRing(ringPath(), readFileSync(ringPath(), 'utf8'))

beforeAll(async () => {
  service = await startModelServer()
  gatehouse = await startGatehouse(service.url, [`proxy.url=${AUDIENCE}`])
  issuer = gatehouse.config.issuer.url
  signing = activeKey(await loadRing())
  const place = { issuer, audience: AUDIENCE, serviceUrl: service.url }
  await Promise.all(
    tried.map(async (example) => {
      try {
        running.set(example.name, await example.start(place))
      } catch (error) {
        if (!(error instanceof NotDownloaded)) throw error
        console.warn(`!!! examples/${example.name} IS NOT TRIED: ${error.message} !!!`)
      }
    }),
  )
}, START_MS)
afterAll(async () => {
  await Promise.all([...running.values()].map((each) => each.stop()))
  await gatehouse.close()
  await service.close()
}, START_MS)

/** A token with the issuer's own key that is good but for these claims and header members. */
async function forge(claims: object, header: object = {}): Promise<string> {
  const key = await importJWK({ ...signing.privateJwk }, 'RS256')
  return new SignJWT({ ...goodClaims(issuer, AUDIENCE), ...claims })
    .setProtectedHeader({ alg: 'RS256', typ: 'at+jwt', kid: signing.kid, ...header })
    .sign(key)
}

async function ask(name: string, token?: string, headers: Record<string, string> = {}) {
  const { url = '' } = running.get(name) ?? {}
  const authorization = token === undefined ? {} : { authorization: `Bearer ${token}` }
  return fetch(url, { headers: { ...headers, ...authorization } })
}

const secondsAgo = (seconds: number) => Math.floor(Date.now() / 1000) - seconds
const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')

const BAD_TOKENS: Record<string, () => string | Promise<string>> = {
  'that is no token': () => 'x.y.z',
  'that has expired': () => forge({ iat: secondsAgo(1000), exp: secondsAgo(100) }),
  'that never expires': () => forge({ exp: undefined }),
  'for somebody else': () => forge({ aud: 'https://other.example' }),
  'of another issuer': () => forge({ iss: 'https://other.example' }),
  'that is an ID token': () => forge({}, { typ: 'JWT' }),
  'without a type': () => forge({}, { typ: undefined }),
  'that is bound to a DPoP key': () => forge({ cnf: { jkt: 'x' } }),
  'that is bound to a certificate': () => forge({ cnf: { 'x5t#S256': 'x' } }),
  'that names no key': () => forge({}, { kid: undefined }),
  'that names a key which is not published': () => forge({}, { kid: 'unknown' }),
  'without a signature': () =>
    `${encode({ alg: 'none', typ: 'at+jwt', kid: signing.kid })}.${encode(goodClaims(issuer, AUDIENCE))}.`,
  'whose claims were changed': async () => {
    const [header, , signature] = (await forge({})).split('.')
    return [header, encode({ ...goodClaims(issuer, AUDIENCE), sub: 'admin' }), signature].join('.')
  },
  'that is signed with the public key as a secret': () =>
    new SignJWT(goodClaims(issuer, AUDIENCE))
      .setProtectedHeader({ alg: 'HS256', typ: 'at+jwt', kid: signing.kid })
      .sign(createSecretKey(Buffer.from(signing.publicJwk.n, 'base64url'))),
}

function skipWithout(name: string): void {
  beforeEach(({ skip }) => skip(!running.has(name), 'its packages cannot be downloaded'))
}

describe.each(tried)('examples/$name', ({ name, refusals }) => {
  skipWithout(name)

  test('lets in the token that the issuer gives a client', async () => {
    const response = await ask(name, await gatehouse.issueToken())
    expect(response.status).toBe(200)
  })

  test('sends away whoever has none', async () => {
    const response = await ask(name)
    expect(response.status).toBe(401)
    expect(response.headers.get('www-authenticate')).toMatch(/^Bearer\b/)
  })

  test.each(Object.keys(BAD_TOKENS))('refuses one %s', async (what) => {
    const { status } = await ask(name, await BAD_TOKENS[what]?.())
    expect(refusals).toContain(status)
  })

  test.each(['other', 'ocr_api_access2', 'not_ocr_api_access', ''])(
    'does not take the scope "%s" for the one that it wants',
    async (scope) => {
      expect((await ask(name, await forge({ scope }))).status).toBe(403)
    },
  )

  test('finds the scope among others', async () => {
    const token = await forge({ scope: 'openid ocr_api_access other' })
    expect((await ask(name, token)).status).toBe(200)
  })
})

describe.each(tried.filter(({ name }) => ['nginx', 'haproxy', 'envoy'].includes(name)))(
  'behind examples/$name the service',
  ({ name }) => {
    skipWithout(name)

    test('is told who calls, by nobody else, and never gets the token', async () => {
      const before = service.received.length
      const token = await forge({ sub: 'robot' })
      expect((await ask(name, token, { 'x-subject': 'admin' })).status).toBe(200)
      expect(service.received).toHaveLength(before + 1)
      const headers = service.received.at(-1)?.headers
      expect(headers?.['x-subject']).toBe('robot')
      expect(JSON.stringify(headers)).not.toContain(token)
    })
  },
)

test('a key that was never published ahead is picked up by all, and the one before it forgotten', async () => {
  const old = await forge({})
  const ring = await loadRing()
  const fresh = await generateSigningKey(2048)
  const now = Math.floor(Date.now() / 1000)
  const without = removeCompromised(ring, signing.kid, { fresh, now })
  writeFileSync(ringPath(), JSON.stringify(without))
  await waitUntil('a JWKS with the key', async () =>
    (await (await fetch(`${issuer}/jwks`)).text()).includes(fresh.kid),
  )
  const renewed = await gatehouse.issueToken()
  const follow = async ([name, { refresh }]: [string, RunningExample]) => {
    await refresh?.()
    const takesNew = async () => (await ask(name, renewed)).status === 200
    const forgotOld = async () => (await ask(name, old)).status !== 200
    await waitUntil(`${name} takes the new key`, takesNew, 60_000)
    await waitUntil(`${name} forgets the old`, forgotOld, 60_000)
  }
  await Promise.all([...running].map(follow))
  expect(running.has('node')).toBe(true)
}, 150_000)
