import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { AppError } from '../../src/kernel/errors.ts'
import type { Store } from '../../src/store/store.ts'
import { startAdminServer, type AdminServer } from '../support/admin-server.ts'

let admin: AdminServer
beforeAll(async () => {
  admin = await startAdminServer()
})
afterAll(() => admin.close())

describe('If-Match', () => {
  test('lets only one of two change what both have seen', async () => {
    const { headers } = await admin.send('POST', 'tenants', { body: { tenant_id: 'seen' } })
    const etag = headers.get('etag') ?? ''
    const update = (name: string) =>
      admin.send('PATCH', 'tenants/seen', { body: { name }, headers: { 'if-match': etag } })
    const statuses = await Promise.all([update('one'), update('two')])
    expect(new Set(statuses.map(({ status }) => status))).toEqual(new Set([200, 412]))
    expect((await update('three')).body).toMatchObject({ error: { code: 'version_conflict' } })
  })

  test.each([
    ['*', 200],
    ['W/"x"', 412],
    ['"stale"', 412],
    ['stale', 400],
    ['"a", "b"', 400],
  ])('%s answers %i', async (ifMatch, status) => {
    const headers = { 'if-match': ifMatch }
    const options = { body: { name: 'x' }, headers }
    expect((await admin.send('PATCH', 'tenants/default', options)).status).toBe(status)
  })

  test('also guards what deletes', async () => {
    await admin.send('POST', 'clients', { body: { client_id: 'guarded' } })
    const stale = { headers: { 'if-match': '"stale"' } }
    expect((await admin.send('DELETE', 'clients/guarded', stale)).status).toBe(412)
    expect((await admin.send('GET', 'clients/guarded')).status).toBe(200)
  })
})

describe('an Idempotency-Key', () => {
  const create = (key: string, body: object, client = 'admin') =>
    admin.send('POST', 'clients', {
      body,
      headers: { 'idempotency-key': key },
      claims: { client_id: client, sub: client },
    })

  test('makes a repeat answer the same, without the secret', async () => {
    const first = await create('key-1', { name: 'once' })
    expect(first.status).toBe(201)
    const { client_secret: secret, ...rest } = first.body
    const second = await create('key-1', { name: 'once' })
    expect(second).toMatchObject({ status: 201, body: rest })
    expect(secret).toMatch(/^[\w-]{43}$/)
    expect(second.body).not.toHaveProperty('client_secret')
    expect(second.headers.get('etag')).toBe(first.headers.get('etag'))
    expect(second.headers.get('idempotency-replayed')).toBe('true')
  })

  test('of another body is refused', async () => {
    await create('key-2', { name: 'one' })
    expect(await create('key-2', { name: 'two' })).toMatchObject({
      status: 422,
      body: { error: { code: 'idempotency_key_reused' } },
    })
  })

  test('is each caller’s own', async () => {
    await admin.send('POST', 'clients', {
      body: { client_id: 'other-admin', scope: 'admin:clients' },
    })
    const [one, two] = [
      await create('key-3', { name: 'x' }),
      await create('key-3', { name: 'x' }, 'other-admin'),
    ]
    expect([one.status, two.status]).toEqual([201, 201])
    expect(one.body['client_id']).not.toBe(two.body['client_id'])
  })

  test('may be used again after a refusal', async () => {
    expect((await create('key-4', { name: 5 })).status).toBe(400)
    expect((await create('key-4', { name: 'right' })).status).toBe(201)
  })

  test('of what has been deleted since is told so', async () => {
    const { body } = await create('key-7', { name: 'gone' })
    await admin.send('DELETE', `clients/${String(body['client_id'])}`)
    expect((await create('key-7', { name: 'gone' })).status).toBe(404)
  })

  test('sent twenty times at once makes one client', async () => {
    const answers = await Promise.all(
      Array.from({ length: 20 }, () => create('key-5', { name: 'parallel' })),
    )
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([201]))
    expect(answers.filter(({ body }) => 'client_secret' in body)).toHaveLength(1)
    expect(new Set(answers.map(({ body }) => body['client_id'])).size).toBe(1)
  })

  test('is forgotten after a day', async () => {
    const first = await create('key-6', { name: 'x' })
    admin.travel(24 * 3600 + 1)
    const second = await create('key-6', { name: 'x' })
    expect(second.body['client_id']).not.toBe(first.body['client_id'])
  })

  test.each(['', 'with space', 'x'.repeat(256)])('that is %j is refused', async (key) => {
    expect((await create(key, {})).status).toBe(400)
  })
})

describe('a create whose outcome nobody knows', () => {
  let failing: AdminServer
  /** What becomes of the next commit of the registry: it is made, or not, and fails either way. */
  let fate: 'lost answer' | 'lost request' | undefined

  const unsteady = (store: Store): Store => ({
    ...store,
    async commit(collection, changes) {
      const now = collection.name === 'registry' ? fate : undefined
      if (now === undefined) return store.commit(collection, changes)
      fate = undefined
      if (now === 'lost answer') await store.commit(collection, changes)
      throw new AppError('temporarily_unavailable', 'The store does not answer.')
    },
  })
  beforeAll(async () => {
    failing = await startAdminServer(unsteady)
    await failing.send('POST', 'clients', { body: { client_id: 'has-secrets' } })
  })
  afterAll(() => failing.close())

  const kinds: [path: string, body: object, id: string][] = [
    ['tenants', { tenant_id: 'acme' }, 'tenant_id'],
    ['tenants', { name: 'Without an id' }, 'tenant_id'],
    ['clients', { client_id: 'robot' }, 'client_id'],
    ['clients', { name: 'Without an id' }, 'client_id'],
    ['users', { username: 'zhang', password: 'long enough' }, 'sub'],
    ['clients/has-secrets/secrets', {}, 'secret_id'],
  ]
  const fates = ['lost answer', 'lost request'] as const
  const cases = fates.flatMap((which) => kinds.map((kind) => [which, ...kind] as const))

  test.each(cases)('(%s) is repeated and makes one of %s %j', async (which, path, body, id) => {
    const unique = JSON.parse(
      JSON.stringify(body).replaceAll(/acme|robot|zhang/g, `$&-${which[5]}`),
    )
    const headers = { 'idempotency-key': `${which}${JSON.stringify(body)}`.replaceAll(' ', '_') }
    const create = () => failing.send('POST', path, { body: unique, headers })
    const count = async () => {
      const { body: list } = await failing.send('GET', path)
      return Array.isArray(list['items']) ? list['items'].length : 0
    }
    const before = await count()
    fate = which
    expect((await create()).status).toBe(503)
    const [second, third] = [await create(), await create()]
    expect([second.status, third.status]).toEqual([201, 201])
    expect(third.body[id]).toBe(second.body[id])
    expect(third.headers.get('idempotency-replayed')).toBe('true')
    expect(second.headers.has('idempotency-replayed')).toBe(which === 'lost answer')
    expect(await count()).toBe(before + 1)
  })
})
