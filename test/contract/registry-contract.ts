import * as fc from 'fast-check'
import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { AppError } from '../../src/kernel/errors.ts'
import { createRegistry } from '../../src/registry/create-registry.ts'
import { REGISTRY } from '../../src/registry/kept-record.ts'
import { newClientSchema, type NewClientRequest } from '../../src/registry/client.ts'
import type { Page, Registry } from '../../src/registry/registry.ts'
import { newTenantSchema, type NewTenantRequest } from '../../src/registry/tenant.ts'
import { newUserSchema } from '../../src/registry/user.ts'
import { REVOCATIONS } from '../../src/revocations/revocation.ts'
import type { Store } from '../../src/store/store.ts'
import type { OpenedStore } from '../support/stores.ts'

const NOW = 1_700_000_000
const ADDRESS = '192.0.2.1'
const PASSWORD = 'correct horse battery'

/** What any registry does, on whatever store. `clock` is the one that the store was opened with. */
export function describeRegistry(open: (clock: () => number) => Promise<OpenedStore>): void {
  const time = { now: NOW * 1000 }
  const clock = () => time.now
  let opened: OpenedStore
  let store: Store
  let registry: Registry
  beforeAll(async () => {
    opened = await open(clock)
    store = opened.store
    registry = createRegistry({ store, clock, maxFailuresPerMinute: 30 })
    await registry.tenants.create(newTenantSchema.parse({ tenant_id: 'default' }))
  })
  afterAll(() => opened.stop())

  const newTenant = async (request: NewTenantRequest = {}) => {
    const { tenant_id: tenantId } = await registry.tenants.create(newTenantSchema.parse(request))
    return tenantId
  }
  const newClient = async (request: NewClientRequest = {}) => {
    const made = await registry.clients.create(newClientSchema.parse(request))
    return { ...made, clientId: made.client.client_id, secret: made.clientSecret ?? '' }
  }
  const keyClient = (request: NewClientRequest = {}) =>
    newClient({
      token_endpoint_auth_method: 'private_key_jwt',
      jwks_uri: 'https://a.example/jwks',
      ...request,
    })
  const newUser = (username: string, tenantId = 'default') =>
    registry.users.create(
      newUserSchema.parse({ username, tenant_id: tenantId, password: PASSWORD }),
    )
  const revocations = async () =>
    (await store.read(REVOCATIONS, { limit: 10_000 })).map(({ value }) => value)
  const revocationOf = (kind: string, value: string) => ({
    kind,
    value,
    issued_before: Math.floor(time.now / 1000),
    exp: Math.floor(time.now / 1000) + 1800,
  })

  describe('a client', () => {
    test('is made with the defaults of the contract, shown without its secret, and found again', async () => {
      const { client, clientId, secret } = await newClient()
      expect(secret).toMatch(/^[\w-]{43}$/)
      expect(client).toMatchObject({
        tenant_id: 'default',
        name: '',
        scope: 'ocr_api_access',
        grant_types: ['client_credentials'],
        token_endpoint_auth_method: 'client_secret_basic',
        status: 'active',
        created_at: NOW,
      })
      expect(await registry.clients.get(clientId)).toEqual(client)
      expect(JSON.stringify(client)).not.toContain('argon2')
    })

    test('has an id that is never given out again', async () => {
      const { clientId } = await keyClient({ client_id: `once-${randomUUID()}` })
      expect(await codeOf(keyClient({ client_id: clientId }))).toBe('already_exists')
      await registry.clients.delete(clientId)
      expect(await registry.clients.get(clientId)).toBeUndefined()
      expect(await codeOf(keyClient({ client_id: clientId }))).toBe('already_exists')
    })

    test('is not made for a tenant that is not there', async () => {
      const tenantId = randomUUID()
      expect(await codeOf(keyClient({ tenant_id: tenantId }))).toBe('invalid_metadata')
      expect((await registry.clients.list({ tenantId, limit: 10 })).items).toEqual([])
    })

    test('is one of 100 made at once with one duplicate: one is refused, 99 are there, none half', async () => {
      const tenantId = await newTenant()
      const ids = Array.from({ length: 99 }, () => randomUUID())
      const codes = await Promise.all(
        [...ids, ids[17] ?? ''].map((id) =>
          codeOf(newClient({ client_id: id, tenant_id: tenantId })),
        ),
      )
      expect(codes.filter((code) => code !== undefined)).toEqual(['already_exists'])
      const listed = await allOf((cursor) => registry.clients.list({ tenantId, cursor, limit: 7 }))
      expect(listed.map(({ client_id: id }) => id)).toEqual([...ids].sort())
      for (const id of ids) expect(await registry.clients.listSecrets(id)).toHaveLength(1)
    })

    test('changes for one of many that saw the same version, and the others hear of it', async () => {
      const { client, clientId } = await keyClient()
      const outcomes = await Promise.all(
        ['a', 'b', 'c', 'd'].map((name) =>
          codeOf(registry.clients.update(clientId, { name }, { version: client.version })),
        ),
      )
      expect(outcomes.filter((code) => code === undefined)).toHaveLength(1)
      expect(outcomes.filter((code) => code === 'version_conflict')).toHaveLength(3)
    })

    test('loses no change of many that expect no version', async () => {
      const { clientId } = await newClient()
      await Promise.all(
        ['a', 'b', 'c', 'd', 'e'].map((label) => registry.clients.addSecret(clientId, { label })),
      )
      expect(await registry.clients.listSecrets(clientId)).toHaveLength(6)
    })

    test('keeps what an update leaves out, loses what is null, and keeps the rules between members', async () => {
      const { clientId } = await newClient({ limits: { rpm: 1 }, name: 'a' })
      const updated = await registry.clients.update(clientId, { limits: null, scope: 'b c b' })
      expect(updated).toMatchObject({ name: 'a', scope: 'b c' })
      expect(updated.limits).toBeUndefined()
      const broken = registry.clients.update(clientId, { grant_types: ['authorization_code'] })
      expect(await codeOf(broken)).toBe('invalid_metadata')
      expect(await registry.clients.get(clientId)).toEqual(updated)
    })

    test('is not found: every change says so', async () => {
      const { clients } = registry
      const attempts = [clients.update('gone', {}), clients.disable('gone'), clients.delete('gone')]
      expect(await Promise.all(attempts.map(codeOf))).toEqual(Array(3).fill('not_found'))
    })
  })

  describe('the secrets of a client', () => {
    test('are several at once; one that is removed or has expired opens nothing', async () => {
      const { clientId, secret } = await newClient()
      const verify = (text: string) =>
        registry.clients.verifySecret({ clientId, secret: text, address: ADDRESS })
      const expiresAt = Math.floor(time.now / 1000) + 30
      const second = await registry.clients.addSecret(clientId, { expires_at: expiresAt })
      expect([await verify(secret), await verify(second.clientSecret)]).toEqual([true, true])
      expect(await verify(`${secret}x`)).toBe(false)

      time.now = expiresAt * 1000
      expect(await verify(second.clientSecret)).toBe(false)
      const [first] = await registry.clients.listSecrets(clientId)
      await registry.clients.removeSecret(clientId, first?.secret_id ?? '', { isForced: true })
      expect(await verify(secret)).toBe(false)
    })

    test('tell when they were used, which changes no version, and are not removed in use by mistake', async () => {
      const { client, clientId, secret } = await newClient()
      const [shown] = await registry.clients.listSecrets(clientId)
      const secretId = shown?.secret_id ?? ''
      expect(shown).not.toHaveProperty('last_used_at')
      await registry.clients.verifySecret({ clientId, secret, address: ADDRESS })
      await registry.saveUses()
      const usedAt = Math.floor(time.now / 1000)
      expect(await registry.clients.listSecrets(clientId)).toMatchObject([{ last_used_at: usedAt }])
      expect((await registry.clients.get(clientId))?.version).toBe(client.version)
      const elsewhere = createRegistry({ store, clock, maxFailuresPerMinute: 1 })
      expect(await elsewhere.clients.listSecrets(clientId)).toMatchObject([
        { last_used_at: usedAt },
      ])

      expect(await codeOf(registry.clients.removeSecret(clientId, secretId))).toBe('in_use')
      time.now += 25 * 3600 * 1000
      await registry.clients.removeSecret(clientId, secretId)
      expect(await registry.clients.listSecrets(clientId)).toEqual([])
    })

    test('are not made when they would have expired already', async () => {
      const { clientId } = await newClient()
      const expired = { expires_at: Math.floor(time.now / 1000) }
      expect(await codeOf(registry.clients.addSecret(clientId, expired))).toBe('invalid_metadata')
      expect(await registry.clients.listSecrets(clientId)).toHaveLength(1)
    })

    test('are at most ten, and none for a client that signs', async () => {
      const { clientId } = await newClient()
      for (let count = 1; count < 10; count += 1) await registry.clients.addSecret(clientId, {})
      expect(await codeOf(registry.clients.addSecret(clientId, {}))).toBe('in_use')
      const signing = await keyClient()
      expect(signing.clientSecret).toBeUndefined()
      expect(await codeOf(registry.clients.addSecret(signing.clientId, {}))).toBe(
        'invalid_metadata',
      )
    })
  })

  describe('whoever is stopped', () => {
    test('gets no token, and what was issued is revoked first', async () => {
      const { clientId, secret } = await newClient()
      await registry.clients.disable(clientId)
      expect(await revocations()).toContainEqual(revocationOf('client', clientId))
      expect(await registry.clients.findIssuable(clientId)).toBeUndefined()
      expect(await registry.clients.verifySecret({ clientId, secret, address: ADDRESS })).toBe(
        false,
      )
      await registry.clients.enable(clientId)
      expect(await registry.clients.findIssuable(clientId)).toBeDefined()
    })

    test.each(['append', 'commit'] as const)(
      'stays as it was when %s fails, and no change comes without its revocation',
      async (method) => {
        const { clientId } = await keyClient()
        const fail = () => Promise.reject(new AppError('temporarily_unavailable', 'down'))
        const failing = createRegistry({
          store: { ...store, [method]: fail },
          clock,
          maxFailuresPerMinute: 1,
        })
        const before = (await revocations()).length
        expect(await codeOf(failing.clients.disable(clientId))).toBe('temporarily_unavailable')
        expect(await registry.clients.get(clientId)).toMatchObject({ status: 'active' })
        expect((await revocations()).length - before).toBe(method === 'append' ? 0 : 1)
      },
    )

    test('revokes nothing when the expected version is an old one', async () => {
      const { client, clientId } = await keyClient()
      await registry.clients.update(clientId, { name: 'new' })
      const before = (await revocations()).length
      const { version } = client
      expect(await codeOf(registry.clients.disable(clientId, { version }))).toBe('version_conflict')
      expect(await codeOf(registry.clients.delete(clientId, { version }))).toBe('version_conflict')
      expect(await revocations()).toHaveLength(before)
    })

    test('is revoked once more for tokens of the seconds that the change took', async () => {
      const { clientId } = await keyClient()
      const slow: Store = {
        ...store,
        commit: async (collection, changes) => {
          if (collection === REGISTRY) time.now += 2000
          return store.commit(collection, changes)
        },
      }
      const before = (await revocations()).length
      await createRegistry({ store: slow, clock, maxFailuresPerMinute: 1 }).clients.disable(
        clientId,
      )
      const entries = (await revocations()).slice(before)
      expect(entries).toHaveLength(2)
      expect(entries[1]).toEqual(revocationOf('client', clientId))
    })
  })

  describe('a tenant', () => {
    test('stops and resumes with everybody in it', async () => {
      const tenantId = await newTenant()
      const { clientId } = await keyClient({ tenant_id: tenantId })
      const { sub } = await newUser('ada', tenantId)
      expect(await registry.tenants.suspend(tenantId)).toMatchObject({ status: 'suspended' })
      expect(await revocations()).toContainEqual(revocationOf('tenant', tenantId))
      expect(await registry.clients.findIssuable(clientId)).toBeUndefined()
      expect(await registry.users.findIssuable(sub)).toBeUndefined()
      const before = (await revocations()).length
      await registry.tenants.resume(tenantId)
      expect(await registry.clients.findIssuable(clientId)).toBeDefined()
      expect(await registry.users.findIssuable(sub)).toBeDefined()
      expect(await revocations()).toHaveLength(before)
    })

    test('that is deleted takes everybody along, and nobody joins meanwhile', async () => {
      const tenantId = await newTenant()
      const ids = Array.from({ length: 120 }, () => randomUUID())
      await Promise.all(ids.map((id) => keyClient({ client_id: id, tenant_id: tenantId })))
      const { sub } = await newUser('ada', tenantId)
      const [, ...joining] = await Promise.all([
        registry.tenants.delete(tenantId),
        ...Array.from({ length: 10 }, () => codeOf(keyClient({ tenant_id: tenantId }))),
      ])
      expect(joining.every((code) => code === undefined || code === 'invalid_metadata')).toBe(true)
      expect(await registry.tenants.get(tenantId)).toBeUndefined()
      expect((await registry.clients.list({ tenantId, limit: 10 })).items).toEqual([])
      expect((await registry.users.list({ tenantId, limit: 10 })).items).toEqual([])
      expect(await registry.users.get(sub)).toBeUndefined()
      const left = await allOf((cursor) => registry.clients.list({ cursor, limit: 50 }))
      expect(left.filter((client) => client.tenant_id === tenantId)).toEqual([])
      expect(await codeOf(keyClient({ client_id: ids[3] ?? '' }))).toBe('already_exists')
      const again = registry.tenants.create(newTenantSchema.parse({ tenant_id: tenantId }))
      expect(await codeOf(again)).toBe('already_exists')
    })

    test('that was half deleted is gone for everybody and can be deleted to the end', async () => {
      const tenantId = await newTenant()
      const { clientId } = await keyClient({ tenant_id: tenantId })
      const fail = () => Promise.reject(new AppError('temporarily_unavailable', 'down'))
      const failing = createRegistry({
        store: { ...store, list: fail },
        clock,
        maxFailuresPerMinute: 1,
      })
      expect(await codeOf(failing.tenants.delete(tenantId))).toBe('temporarily_unavailable')
      expect(await registry.tenants.get(tenantId)).toBeUndefined()
      expect(await codeOf(registry.tenants.resume(tenantId))).toBe('not_found')
      expect(await registry.clients.findIssuable(clientId)).toBeUndefined()
      await registry.tenants.delete(tenantId)
      expect(await registry.clients.get(clientId)).toBeUndefined()
    })

    test('changes its limits and its name, for one of two that saw the same version', async () => {
      const tenantId = await newTenant({ name: 'a', limits: { client: { rpm: 5 }, weight: 2 } })
      const { version } = (await registry.tenants.get(tenantId)) ?? {}
      const updated = await registry.tenants.update(tenantId, { limits: null }, { version })
      expect(updated).toMatchObject({ tenant_id: tenantId, name: 'a', status: 'active' })
      expect(updated).not.toHaveProperty('limits')
      expect(await codeOf(registry.tenants.update(tenantId, { name: 'b' }, { version }))).toBe(
        'version_conflict',
      )
    })

    test('default stays', async () => {
      expect(await codeOf(registry.tenants.delete('default'))).toBe('in_use')
    })
  })

  describe('a user', () => {
    test('has a name that is one of its kind in the tenant, in any case and width', async () => {
      const tenantId = await newTenant()
      const other = await newTenant()
      const user = await newUser('Ada.Lovelace', tenantId)
      expect(user).toMatchObject({
        username: 'ada.lovelace',
        sub: expect.stringMatching(/^user:[0-9a-f-]{36}$/),
        status: 'active',
        scope: 'ocr_api_access',
      })
      expect(user).not.toHaveProperty('password_hash')
      expect(await codeOf(newUser('ＡDA.lovelace', tenantId))).toBe('already_exists')
      expect(await codeOf(newUser('ada.lovelace', other))).toBeUndefined()
      expect(await registry.users.find(tenantId, 'ADA.lovelace')).toEqual(user)
      await registry.users.delete(user.sub)
      expect(await registry.users.get(user.sub)).toBeUndefined()
      expect((await newUser('ada.lovelace', tenantId)).sub).not.toBe(user.sub)
    })

    test('signs in with the password, until it is set anew or the user is disabled', async () => {
      const tenantId = await newTenant()
      const { sub } = await newUser('grace', tenantId)
      const verify = async (password: string, username = 'Grace') =>
        (await registry.users.verifyPassword({ tenantId, username, password, address: ADDRESS }))
          ?.sub
      expect(await verify(PASSWORD)).toBe(sub)
      expect(await verify('wrong')).toBeUndefined()
      expect(await verify(PASSWORD, 'nobody')).toBeUndefined()
      await registry.users.setPassword(sub, 'another password')
      expect(await revocations()).toContainEqual(revocationOf('sub', sub))
      expect([await verify(PASSWORD), await verify('another password')]).toEqual([undefined, sub])
      await registry.users.disable(sub)
      expect(await verify('another password')).toBeUndefined()
      await registry.users.enable(sub)
      expect(await verify('another password')).toBe(sub)
    })
  })

  test('pages hold everything once, whatever their size', async () => {
    const tenantId = await newTenant()
    const ids = Array.from({ length: 23 }, (_, index) => `${tenantId}.${index}`)
    await Promise.all(ids.map((id) => keyClient({ client_id: id, tenant_id: tenantId })))
    const sizes = fc.integer({ min: 1, max: 30 })
    await fc.assert(
      fc.asyncProperty(sizes, async (limit) => {
        const pages = (cursor?: string) => registry.clients.list({ tenantId, cursor, limit })
        const listed = await allOf(pages)
        expect(listed.map(({ client_id: id }) => id)).toEqual([...ids].sort())
      }),
      { numRuns: 20 },
    )
  })
}

async function codeOf(attempt: Promise<unknown>): Promise<string | undefined> {
  try {
    await attempt
    return undefined
  } catch (error) {
    if (error instanceof AppError) return error.code
    throw error
  }
}

async function allOf<Item>(page: (cursor?: string) => Promise<Page<Item>>): Promise<Item[]> {
  const items: Item[] = []
  let cursor: string | undefined
  do {
    const { items: more, next_cursor: next } = await page(cursor)
    items.push(...more)
    cursor = next
  } while (cursor !== undefined)
  return items
}
