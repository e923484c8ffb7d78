import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startAdminServer, type AdminServer } from '../support/admin-server.ts'

let admin: AdminServer
let user: string
beforeAll(async () => {
  admin = await startAdminServer()
  await admin.send('POST', 'clients', { body: { client_id: 'robot' } })
  await admin.send('POST', 'tenants', { body: { tenant_id: 'acme' } })
  const someone = { username: 'someone', password: 'long enough' }
  user = String((await admin.send('POST', 'users', { body: someone })).body['sub'])
})
afterAll(() => admin.close())

const revoke = (body: object, headers: Record<string, string> = {}) =>
  admin.send('POST', 'revocations', { body, headers })
const nowSeconds = () => Math.floor(Date.now() / 1000)
const list = async (query = '') => (await admin.send('GET', `revocations${query}`)).body

describe('POST revocations', () => {
  test('revokes one token until it would have expired', async () => {
    const exp = nowSeconds() + 600
    const { status, body } = await revoke({ kind: 'jti', value: 'token-1', exp })
    expect(status).toBe(201)
    expect(body).toEqual({ id: expect.any(String), kind: 'jti', value: 'token-1', exp })
  })

  test.each(['client', 'sub', 'tenant'])('revokes what was issued to a %s so far', async (kind) => {
    const value = { client: 'robot', sub: user, tenant: 'acme' }[kind] ?? ''
    const { status, body } = await revoke({ kind, value })
    expect(status).toBe(201)
    const upTo = Number(body['issued_before'])
    expect(upTo).toBe(Math.floor(admin.now() / 1000))
    expect(body).toMatchObject({ kind, value, exp: upTo + 1800 })
  })

  test.each([
    ['a client that is not there', { kind: 'client', value: 'robbot' }, 404, 'client'],
    ['a user that is not there', { kind: 'sub', value: 'user:nobody' }, 404, 'subject'],
    ['a key that is not in the ring', { kind: 'kid', value: 'k' }, 404, 'key'],
    ['a jti without its exp', { kind: 'jti', value: 'j' }, 400, 'exp'],
    ['an exp in the past', { kind: 'jti', value: 'j', exp: 1_700_000_000 }, 400, 'expired'],
    ['an exp in milliseconds', { kind: 'jti', value: 'j', exp: 1_790_000_000_000 }, 400, 'lives'],
    ['an exp for a client', { kind: 'client', value: 'robot', exp: 2_000_000_000 }, 400, 'exp'],
    [
      'what is not issued yet',
      { kind: 'client', value: 'robot', issued_before: 9_999_999_999 },
      400,
      'issued_before',
    ],
  ])('refuses %s rather than doing nothing', async (_title, body, status, word) => {
    const before = await list()
    const answer = await revoke(body)
    expect(answer.status).toBe(status)
    expect(answer.body['detail']).toContain(word)
    expect(await list()).toEqual(before)
  })

  test('with an Idempotency-Key happens once, so that a repeat does not revoke what came since', async () => {
    const key = { 'idempotency-key': 'revoke-once' }
    const body = { kind: 'client', value: 'robot' }
    const first = await revoke(body, key)
    admin.travel(5)
    const again = await revoke(body, key)
    expect([again.status, again.body]).toEqual([201, first.body])
    expect(again.headers.get('idempotency-replayed')).toBe('true')
    expect((await revoke({ kind: 'sub', value: user }, key)).status).toBe(422)
  })

  test('needs admin:revoke', async () => {
    const claims = { scope: 'admin:read admin:keys admin:clients admin:users' }
    const answer = await admin.send('POST', 'revocations', {
      body: { kind: 'client', value: 'robot' },
      claims,
    })
    expect(answer.status).toBe(403)
    expect(answer.headers.get('www-authenticate')).toContain('scope="admin:revoke"')
  })
})

describe('GET revocations', () => {
  test('gives each entry that still matters once, page by page, in the order of the log', async () => {
    const all = (await list())['items'] as { id: string }[]
    const paged: unknown[] = []
    let query = '?limit=2'
    for (let isLast = false; !isLast;) {
      const page = await list(query)
      paged.push(...(page['items'] as unknown[]))
      isLast = page['next_cursor'] === undefined
      query = `?limit=2&cursor=${page['next_cursor'] as string}`
    }
    expect(all.length).toBeGreaterThan(3)
    expect(paged).toEqual(all)
  })

  test('leaves out what has run its time', async () => {
    const exp = nowSeconds() + 100
    await revoke({ kind: 'jti', value: 'short', exp })
    const hasIt = async () =>
      ((await list())['items'] as { value: string }[]).some(({ value }) => value === 'short')
    expect(await hasIt()).toBe(true)
    admin.travel(200)
    expect(await hasIt()).toBe(false)
  })
})
