import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startGatehouse, type Gatehouse } from '../support/gatehouse.ts'
import { startModelServer, type ModelServer } from '../support/model-server.ts'

type Credentials = { clientId: string; clientSecret: string }

const MAX_FAILURES = 10

let model: ModelServer
let gatehouse: Gatehouse

beforeAll(async () => {
  model = await startModelServer()
  gatehouse = await startGatehouse(model.url, [
    `issuer.clientAuth.maxFailuresPerMinute=${MAX_FAILURES}`,
    'trustedProxies=10.0.0.0/8',
  ])
})
afterAll(async () => {
  await gatehouse.close()
  await model.close()
})

const guess = (clientId: string, headers: Record<string, string> = {}) =>
  fetch(`${gatehouse.config.issuer.url}/token`, {
    method: 'POST',
    headers,
    body: new URLSearchParams({
      grant_type: 'client_credentials',
      client_id: clientId,
      client_secret: randomUUID(),
    }),
  })
const statusFor = async (client: Credentials) => (await gatehouse.requestToken(client)).status

describe('RFC 6749 §2.3.1, §10.10: guessing client secrets (CWE-307)', () => {
  test('ends after so many failures, with 429 and Retry-After, for that client alone', async () => {
    const victim = await gatehouse.createClient()
    const other = await gatehouse.createClient()
    expect(await statusFor(victim)).toBe(200)
    for (let attempt = 0; attempt < MAX_FAILURES; attempt += 1) {
      expect((await guess(victim.clientId)).status).toBe(401)
    }
    const refused = await guess(victim.clientId)
    expect([refused.status, await refused.json()]).toEqual([
      429,
      { error: 'temporarily_unavailable', error_description: expect.any(String) },
    ])
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0)
    expect(Number(refused.headers.get('retry-after'))).toBeLessThanOrEqual(60)
    expect(refused.headers.get('cache-control')).toBe('no-store')
    // The one that knows the secret, and was here before, goes on; so does everybody else.
    expect(await statusFor(victim)).toBe(200)
    expect(await statusFor(other)).toBe(200)
  })

  test('ends in the same way for Basic credentials, which are refused before anything is done with them', async () => {
    const { clientId, ...rest } = await gatehouse.createClient()
    expect(await statusFor({ clientId, ...rest })).toBe(200)
    const guessByBasic = () =>
      gatehouse.requestToken({ clientId, clientSecret: randomUUID() }, { resource: 'urn:none' })
    for (let attempt = 0; attempt < MAX_FAILURES; attempt += 1) {
      expect((await guessByBasic()).status).toBe(401)
    }
    const askedAtMs = performance.now()
    const inBody = await guess(clientId)
    const byBasic = await guessByBasic()
    const betweenSeconds = Math.ceil((performance.now() - askedAtMs) / 1000)
    expect([byBasic.status, Object.keys((await byBasic.json()) as object)]).toEqual([
      inBody.status,
      Object.keys((await inBody.json()) as object),
    ])
    for (const name of ['cache-control', 'content-type']) {
      expect(byBasic.headers.get(name)).toBe(inBody.headers.get(name))
    }
    // The same minute, which goes on meanwhile.
    const [first, second] = [inBody, byBasic].map(({ headers }) =>
      Number(headers.get('retry-after')),
    )
    expect(second).toBeLessThanOrEqual(first ?? 0)
    expect(second).toBeGreaterThanOrEqual((first ?? 0) - betweenSeconds)
    expect(second).toBeGreaterThan(0)
    expect(gatehouse.logged.at(-1)).toMatchObject({
      event: 'token.refused',
      reason: 'temporarily_unavailable',
      client_id: clientId,
      remote_addr: '127.0.0.1',
    })
    expect(await statusFor({ clientId, ...rest })).toBe(200)
  })

  test('is not made endless by an address that the caller writes itself', async () => {
    const { clientId } = await gatehouse.createClient()
    const statuses = new Set<number>()
    for (let attempt = 0; attempt <= MAX_FAILURES; attempt += 1) {
      const headers = { 'x-forwarded-for': `198.51.100.${attempt}`, forwarded: `for=${attempt}` }
      statuses.add((await guess(clientId, headers)).status)
    }
    expect([...statuses]).toEqual([401, 429])
  })

  test('is not helped by many requests at once', async () => {
    const { clientId } = await gatehouse.createClient()
    const answers = await Promise.all(Array.from({ length: 40 }, () => guess(clientId)))
    const refused = answers.filter(({ status }) => status === 401)
    expect(refused).toHaveLength(MAX_FAILURES)
  })
})

describe('CWE-204, CWE-208: whether a client exists', () => {
  test('is told neither by the answer nor, within a factor of two, by the time', async () => {
    const another = await startGatehouse(model.url, ['issuer.clientAuth.maxFailuresPerMinute=1000'])
    const { clientId } = await another.createClient()
    const disabled = await another.createClient()
    await another.registry.clients.disable(disabled.clientId)
    const measure = async (id: string) => {
      const startedAt = performance.now()
      const answer = await another.requestToken({ clientId: id, clientSecret: randomUUID() })
      const elapsedMs = performance.now() - startedAt
      const challenge = answer.headers.get('www-authenticate')
      return { elapsedMs, seen: [answer.status, challenge, await answer.text()] }
    }
    const kinds = {
      known: () => clientId,
      disabled: () => disabled.clientId,
      unknown: () => randomUUID(),
    }
    const times: Record<string, number[]> = { known: [], disabled: [], unknown: [] }
    const seen = new Set<string>()
    for (let round = 0; round < 15; round += 1) {
      for (const [kind, idOf] of Object.entries(kinds)) {
        const { elapsedMs, seen: answer } = await measure(idOf())
        times[kind]?.push(elapsedMs)
        seen.add(JSON.stringify(answer))
      }
    }
    expect([...seen]).toHaveLength(1)
    const medians = Object.values(times).map((of) => of.sort((a, b) => a - b)[7] ?? 0)
    expect(Math.max(...medians) / Math.min(...medians)).toBeLessThan(2)
    await another.close()
  })
})

describe('a secret that was right a moment ago', () => {
  test.each([
    [
      'the client is disabled',
      ({ clientId }: Credentials) => gatehouse.registry.clients.disable(clientId),
    ],
    [
      'the client is deleted',
      ({ clientId }: Credentials) => gatehouse.registry.clients.delete(clientId),
    ],
    ['the tenant is suspended', () => gatehouse.registry.tenants.suspend('acme')],
    [
      'the secret is removed',
      async ({ clientId }: Credentials) => {
        const [secret] = await gatehouse.registry.clients.listSecrets(clientId)
        const secretId = secret?.secret_id ?? ''
        return gatehouse.registry.clients.removeSecret(clientId, secretId, { isForced: true })
      },
    ],
  ])('is wrong as soon as %s', async (_what, change) => {
    const client = await gatehouse.createClient({ tenant_id: 'acme' })
    expect(await statusFor(client)).toBe(200)
    await change(client)
    const refused = await gatehouse.requestToken(client)
    expect([refused.status, await refused.json()]).toEqual([
      401,
      { error: 'invalid_client', error_description: 'client authentication failed' },
    ])
    await gatehouse.registry.tenants.resume('acme')
  })
})
