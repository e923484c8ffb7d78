import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startAdminServer, type AdminServer } from '../support/admin-server.ts'

let admin: AdminServer
beforeAll(async () => {
  admin = await startAdminServer()
})
afterAll(() => admin.close())

const ids = (body: Record<string, unknown>, member: string) =>
  (body['items'] as Record<string, unknown>[]).map((item) => item[member])

describe('a tenant', () => {
  test('is made, shown, listed, changed, suspended, resumed and deleted', async () => {
    const limits = { tenant: { rpm: 600 }, weight: 2 }
    const made = await admin.send('POST', 'tenants', { body: { tenant_id: 'acme', limits } })
    expect(made).toMatchObject({
      status: 201,
      body: { tenant_id: 'acme', name: '', limits, status: 'active' },
    })
    expect(made.headers.get('etag')).toBe(`"${String(made.body['version'])}"`)
    expect((await admin.send('GET', 'tenants/acme')).body).toEqual(made.body)
    expect(ids((await admin.send('GET', 'tenants')).body, 'tenant_id')).toEqual(['acme', 'default'])

    const changed = await admin.send('PATCH', 'tenants/acme', {
      body: { name: '顶点', limits: null },
    })
    expect(changed).toMatchObject({ status: 200, body: { name: '顶点' } })
    expect(changed.body).not.toHaveProperty('limits')

    expect((await admin.send('POST', 'tenants/acme/suspend')).body).toMatchObject({
      status: 'suspended',
    })
    expect((await admin.send('POST', 'tenants/acme/resume')).body).toMatchObject({
      status: 'active',
    })
    expect((await admin.send('DELETE', 'tenants/acme')).status).toBe(204)
    expect((await admin.send('GET', 'tenants/acme')).status).toBe(404)
    expect((await admin.send('POST', 'tenants', { body: { tenant_id: 'acme' } })).status).toBe(409)
  })
})

describe('a client', () => {
  test('has its whole life, and its secret is shown once', async () => {
    const made = await admin.send('POST', 'clients', { body: { client_id: 'robot' } })
    expect(made).toMatchObject({
      status: 201,
      body: {
        client_id: 'robot',
        tenant_id: 'default',
        scope: 'ocr_api_access',
        grant_types: ['client_credentials'],
        token_endpoint_auth_method: 'client_secret_basic',
        client_secret: expect.stringMatching(/^[\w-]{43}$/),
      },
    })
    const { client_secret: secret, ...rest } = made.body
    expect((await admin.send('GET', 'clients/robot')).body).toEqual(rest)
    const listed = await admin.send('GET', 'clients?tenant_id=default')
    expect(ids(listed.body, 'client_id')).toEqual(['admin', 'robot'])
    expect(JSON.stringify(listed.body)).not.toContain(secret)

    const changed = await admin.send('PATCH', 'clients/robot', { body: { limits: { rpm: 5 } } })
    expect(changed.body).toMatchObject({ limits: { rpm: 5 } })
    for (const [verb, status] of [
      ['disable', 'disabled'],
      ['enable', 'active'],
    ]) {
      expect((await admin.send('POST', `clients/robot/${verb}`)).body).toMatchObject({ status })
    }
    expect((await admin.send('DELETE', 'clients/robot')).status).toBe(204)
    expect((await admin.send('GET', 'clients/robot')).status).toBe(404)
    expect(admin.lines.join('')).not.toContain(secret)
  })

  test('gets further secrets, which are listed without themselves and removed', async () => {
    await admin.send('POST', 'clients', { body: { client_id: 'rotating' } })
    const added = await admin.send('POST', 'clients/rotating/secrets', { body: { label: 'new' } })
    expect(added).toMatchObject({ status: 201, body: { label: 'new' } })
    const { client_secret: secret, secret_id: id } = added.body
    expect(secret).toMatch(/^[\w-]{43}$/)
    const listed = await admin.send('GET', 'clients/rotating/secrets')
    expect(ids(listed.body, 'secret_id')).toContain(id)
    expect(JSON.stringify(listed.body)).not.toContain(secret)
    expect((await admin.send('DELETE', `clients/rotating/secrets/${String(id)}`)).status).toBe(204)
    expect(
      ids((await admin.send('GET', 'clients/rotating/secrets')).body, 'secret_id'),
    ).toHaveLength(1)
    expect((await admin.send('DELETE', `clients/rotating/secrets/${String(id)}`)).status).toBe(404)
  })

  test('of a hundred made at once with one id twice: 99 are made, one is refused', async () => {
    const jwks = { keys: [{ kty: 'OKP', crv: 'Ed25519', x: 'A'.repeat(43) }] }
    const wanted = Array.from({ length: 100 }, (_, index) => `many-${index === 99 ? 0 : index}`)
    const answers = await Promise.all(
      wanted.map((client_id) =>
        admin.send('POST', 'clients', {
          body: { client_id, token_endpoint_auth_method: 'private_key_jwt', jwks },
        }),
      ),
    )
    const statuses = answers.map(({ status }) => status)
    expect(statuses.filter((status) => status === 201)).toHaveLength(99)
    expect(statuses.filter((status) => status === 409)).toHaveLength(1)

    const seen: unknown[] = []
    let path: string | undefined = 'clients?limit=7'
    while (path !== undefined) {
      const { body }: { body: Record<string, unknown> } = await admin.send('GET', path)
      seen.push(...ids(body, 'client_id'))
      const cursor: unknown = body['next_cursor']
      path =
        typeof cursor === 'string'
          ? `clients?limit=7&cursor=${encodeURIComponent(cursor)}`
          : undefined
    }
    expect(seen.filter((id) => String(id).startsWith('many-'))).toHaveLength(99)
    expect(new Set(seen).size).toBe(seen.length)
  })
})

describe('a user', () => {
  test('has a whole life, and the password is never shown or logged', async () => {
    const password = 'correct horse battery'
    const made = await admin.send('POST', 'users', { body: { username: 'Zhang.Wei', password } })
    expect(made).toMatchObject({
      status: 201,
      body: { username: 'zhang.wei', tenant_id: 'default', status: 'active' },
    })
    const path = `users/${String(made.body['sub'])}`
    expect((await admin.send('GET', path)).body).toEqual(made.body)
    const found = await admin.send('GET', 'users?username=ZHANG.WEI')
    expect(found.body).toEqual({ items: [made.body] })
    expect((await admin.send('GET', 'users?username=nobody')).body).toEqual({ items: [] })

    expect((await admin.send('PATCH', path, { body: { name: '张伟' } })).body).toMatchObject({
      name: '张伟',
    })
    const reset = await admin.send('PUT', `${path}/password`, { body: { password: 'another one' } })
    expect(reset.status).toBe(200)
    expect((await admin.send('POST', `${path}/disable`)).body).toMatchObject({ status: 'disabled' })
    expect((await admin.send('POST', `${path}/enable`)).body).toMatchObject({ status: 'active' })
    expect((await admin.send('DELETE', path)).status).toBe(204)
    expect((await admin.send('GET', path)).status).toBe(404)
    for (const secret of [password, 'another one', '$argon2']) {
      expect(JSON.stringify([made.body, reset.body]) + admin.lines.join('')).not.toContain(secret)
    }
  })
})

test('status says how the store and the keys are', async () => {
  expect(await admin.send('GET', 'status')).toMatchObject({
    status: 200,
    body: { store: { backend: 'sqlite' }, keys: [{ state: 'active' }, { state: 'next' }] },
  })
})

describe('nobody locks themselves out', () => {
  test.each([
    ['DELETE', 'clients/admin'],
    ['POST', 'clients/admin/disable'],
    ['POST', 'tenants/default/suspend'],
    ['DELETE', 'tenants/default'],
  ])('by %s %s', async (method, path) => {
    expect(await admin.send(method, path)).toMatchObject({
      status: 409,
      body: { error: { code: 'in_use' } },
    })
  })
})
