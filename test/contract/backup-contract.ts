import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { AppError } from '../../src/kernel/errors.ts'
import { systemClock } from '../../src/kernel/clock.ts'
import type { BackupEntry } from '../../src/registry/backup-entry.ts'
import { readBackupPage } from '../../src/registry/backup-pages.ts'
import { createSurvivors } from '../../src/registry/backup-survivors.ts'
import { newClientSchema } from '../../src/registry/client.ts'
import { createRegistry } from '../../src/registry/create-registry.ts'
import type { Page, Registry } from '../../src/registry/registry.ts'
import { beginRestore, isHalfRestored } from '../../src/registry/restore-entries.ts'
import { newTenantSchema } from '../../src/registry/tenant.ts'
import { newUserSchema } from '../../src/registry/user.ts'
import { REVOCATIONS } from '../../src/revocations/revocation.ts'
import type { Store } from '../../src/store/store.ts'
import { openTestSqlite, type OpenedStore } from '../support/stores.ts'

const clock = systemClock
const registryOn = (store: Store) => createRegistry({ store, clock, maxFailuresPerMinute: 30 })

const addTenant = ({ tenants }: Registry, tenant_id: string) =>
  tenants.create(newTenantSchema.parse({ tenant_id }))
const addClient = ({ clients }: Registry, client_id: string, tenant_id: string) =>
  clients.create(newClientSchema.parse({ client_id, tenant_id }))
const addUser = ({ users }: Registry, username: string, tenant_id: string) =>
  users.create(newUserSchema.parse({ username, tenant_id, password: 'correct horse' }))

/** What an operator may do between two pages of a backup. What was deleted or made before is not there or there. */
const DEEDS: Readonly<Record<string, (registry: Registry, run: string) => Promise<unknown>>> = {
  'make a tenant with members': async (registry, run) => {
    await addTenant(registry, `${run}-new`)
    await addClient(registry, `0-${run}-new`, `${run}-new`)
    await addUser(registry, 'new', `${run}-new`)
  },
  'delete a tenant': ({ tenants }, run) => tenants.delete(`${run}-old`),
  'make a client': (registry, run) => addClient(registry, `1-${run}`, run),
  'delete a client': ({ clients }, run) => clients.delete(`${run}-client`),
  'give a name to another user': async (registry, run) => {
    const user = await registry.users.find(run, 'zhang.wei')
    if (user !== undefined) await registry.users.delete(user.sub)
    await addUser(registry, 'zhang.wei', run)
  },
}

/** A backup that is made while others write is consistent, and a restored one goes on as the store did. */
export function backupContract(open: () => Promise<OpenedStore>): void {
  let source: OpenedStore
  let targets: OpenedStore[]
  beforeAll(async () => {
    source = await open()
    targets = []
  })
  afterAll(async () => {
    await Promise.all([source, ...targets].map(({ stop }) => stop()))
  })

  const restore = async (entries: readonly BackupEntry[]): Promise<Store> => {
    const target = await openTestSqlite(clock)
    targets.push(target)
    const survivors = createSurvivors()
    for (const entry of entries) survivors.learn(entry)
    const restoring = await beginRestore({ store: target.store, clock }, 'a backup')
    await restoring?.write(entries.filter(survivors.has))
    await restoring?.finish()
    return target.store
  }

  const readAll = async (afterPage: () => Promise<void>): Promise<BackupEntry[]> => {
    const entries: BackupEntry[] = []
    let cursor: string | undefined
    do {
      const page: Page<BackupEntry> = await readBackupPage(source.store, { cursor, limit: 3 })
      entries.push(...page.items)
      cursor = page.next_cursor
      await afterPage()
    } while (cursor !== undefined)
    return entries
  }

  describe('its pages', () => {
    test('keep the ids of a tenant and its clients in use, whichever page it is deleted after', async () => {
      const registry = registryOn(source.store)
      // Enough rounds for it to come after a page of every kind.
      for (let page = 0; page < 16; page += 1) {
        const tenantId = `whole-${page}`
        await addTenant(registry, tenantId)
        await addClient(registry, `client-of-${page}`, tenantId)
        let pages = 0
        const entries = await readAll(async () => {
          if (pages === page) await registry.tenants.delete(tenantId)
          pages += 1
        })
        const restored = registryOn(await restore(entries))
        const conflict = { code: 'already_exists' }
        await expect(addTenant(restored, tenantId)).rejects.toMatchObject(conflict)
        await addTenant(restored, 'another')
        const again = addClient(restored, `client-of-${page}`, 'another')
        await expect(again).rejects.toMatchObject(conflict)
      }
    }, 120_000)

    test('hold whole objects alone, whatever is done between its pages', async () => {
      let runs = 0
      const deeds = fc.shuffledSubarray(Object.keys(DEEDS), { minLength: 2 })
      const pauses = fc.array(fc.nat(6), { minLength: 5, maxLength: 5 })
      await fc.assert(
        fc.asyncProperty(deeds, pauses, async (names, waits) => {
          const run = `run-${(runs += 1)}`
          const registry = registryOn(source.store)
          await addTenant(registry, run)
          await addTenant(registry, `${run}-old`)
          await addClient(registry, `${run}-client`, run)
          await addClient(registry, `${run}-old-client`, `${run}-old`)
          await addClient(registry, `${run}-stays`, run)
          await addUser(registry, 'zhang.wei', run)
          await addUser(registry, 'stays', run)
          await addUser(registry, 'old', `${run}-old`)

          const waiting = names.flatMap((name, index) => [
            ...Array.from({ length: waits[index] ?? 0 }, () => undefined),
            DEEDS[name],
          ])
          const entries = await readAll(async () => {
            await waiting.shift()?.(registry, run)
          })
          await expectWhole(registryOn(await restore(entries)), run)
        }),
        { numRuns: 12 },
      )
    }, 120_000)

    test('keep secrets, passwords, tombstones, last uses and live revocations working', async () => {
      const registry = registryOn(source.store)
      await addTenant(registry, 'acme')
      const { clientSecret: secret = '' } = await addClient(registry, 'robot', 'acme')
      await addUser(registry, 'li.na', 'acme')
      await addClient(registry, 'gone', 'acme')
      await registry.clients.delete('gone')
      const attempt = { clientId: 'robot', secret, address: '::1' }
      expect(await registry.clients.verifySecret(attempt)).toBe(true)
      await registry.saveUses()

      const store = await restore(await readAll(async () => undefined))
      const restored = registryOn(store)
      expect(await restored.clients.verifySecret(attempt)).toBe(true)
      const password = 'correct horse'
      const user = { tenantId: 'acme', username: 'li.na', password, address: '::1' }
      expect(await restored.users.verifyPassword(user)).toMatchObject({ username: 'li.na' })
      await expect(addClient(restored, 'gone', 'acme')).rejects.toThrow(AppError)
      const [listed] = await restored.clients.listSecrets('robot')
      expect(listed?.last_used_at).toBeTypeOf('number')
      const revoked = (await store.read(REVOCATIONS, { limit: 1000 })).map(({ value }) => value)
      expect(revoked).toContainEqual(expect.objectContaining({ kind: 'client', value: 'gone' }))
    })
  })

  describe('a restore', () => {
    const around = () => ({ store: source.store, clock })

    test('goes into an empty store only', async () => {
      expect(await beginRestore(around(), 'a backup')).toBeUndefined()
    })

    test('that was interrupted goes on with the same backup and no other', async () => {
      const target = await openTestSqlite(clock)
      targets.push(target)
      const into = { store: target.store, clock }
      expect(await beginRestore(into, 'one')).toBeDefined()
      expect(await beginRestore(into, 'two')).toBeUndefined()
      expect(await isHalfRestored(target.store)).toBe(true)
      const again = await beginRestore(into, 'one')
      await again?.finish()
      expect(await isHalfRestored(target.store)).toBe(false)
      expect(await beginRestore(into, 'two')).toBeDefined()
    })
  })

  test('a cursor that is none of ours is refused', async () => {
    for (const cursor of ['x', '9/', 'client/1', '-1/']) {
      await expect(readBackupPage(source.store, { cursor, limit: 1 })).rejects.toThrow(AppError)
    }
  })
}

async function expectWhole(registry: Registry, run: string): Promise<void> {
  const { tenants, clients, users } = registry
  const known = new Set((await tenants.list({ limit: 1000 })).items.map((item) => item.tenant_id))
  const members = { limit: 1000 }
  const allClients = (await clients.list(members)).items
  const allUsers = (await users.list(members)).items
  for (const { client_id: id, tenant_id: tenantId } of allClients) {
    expect(known).toContain(tenantId)
    const listed = await clients.list({ ...members, tenantId })
    expect(listed.items.map((item) => item.client_id)).toContain(id)
  }
  for (const { sub, username, tenant_id: tenantId } of allUsers) {
    expect(known).toContain(tenantId)
    expect((await users.find(tenantId, username))?.sub).toBe(sub)
  }
  for (const tenantId of known) {
    const listedClients = await clients.list({ ...members, tenantId })
    expect(listedClients.items).toEqual(allClients.filter((item) => item.tenant_id === tenantId))
    const listedUsers = await users.list({ ...members, tenantId })
    expect(listedUsers.items).toHaveLength(
      allUsers.filter((item) => item.tenant_id === tenantId).length,
    )
  }
  expect(await clients.get(`${run}-stays`)).toBeDefined()
  for (const id of [`${run}-client`, `${run}-old-client`]) {
    await expect(addClient(registry, id, run)).rejects.toMatchObject({ code: 'already_exists' })
  }
  await expect(addTenant(registry, `${run}-old`)).rejects.toMatchObject({ code: 'already_exists' })
  expect(await users.find(run, 'stays')).toBeDefined()
}
