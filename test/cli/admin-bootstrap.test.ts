import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeEach, describe, expect, test } from 'vitest'
import { ensureAdminClient, replaceAdminKey } from '../../src/cli/admin-bootstrap.ts'
import { loadConfig } from '../../src/config/load.ts'
import type { Config } from '../../src/config/schema.ts'
import { systemClock } from '../../src/kernel/clock.ts'
import {
  loadClientKey,
  loadOrCreateClientKey,
  publicClientKey,
} from '../../src/keys/client-key-file.ts'
import { createRegistry } from '../../src/registry/create-registry.ts'
import type { Clients } from '../../src/registry/registry.ts'
import { newTenantSchema } from '../../src/registry/tenant.ts'
import { createTestLog } from '../support/log-lines.ts'
import { openTestSqlite } from '../support/stores.ts'
import { useTempFolders } from '../support/temp-folders.ts'

const makeFolder = useTempFolders()
const { log, lines } = createTestLog()
const opened = await openTestSqlite(systemClock)
afterAll(() => opened.stop())

let config: Config
let path: string
let clients: Clients

beforeEach(async () => {
  const dir = makeFolder()
  path = join(dir, 'admin.jwk')
  config = configOf(dir)
  const { store } = opened
  const registry = createRegistry({ store, clock: systemClock, maxFailuresPerMinute: 30 })
  if ((await registry.tenants.get('default')) === undefined) {
    await registry.tenants.create(newTenantSchema.parse({ tenant_id: 'default' }))
  }
  clients = registry.clients
})

function configOf(dir: string): Config {
  const result = loadConfig({ env: {}, set: [`keys.dir=${dir}`] })
  if (result.problems !== undefined) throw new Error(result.problems.join('\n'))
  return result.config
}

const kidsOf = async () =>
  (await clients.get('admin'))?.jwks?.keys.map((each) => each['kid']) ?? 'no client'

describe('the client admin', () => {
  test('is made once and keeps its key, also when the key file was moved away', async () => {
    await ensureAdminClient(config, { clients, log })
    const first = await loadClientKey(path)
    expect(await kidsOf()).toEqual([first?.kid])
    const { version } = (await clients.get('admin')) ?? {}
    await ensureAdminClient(config, { clients, log })
    await rm(path)
    await ensureAdminClient(config, { clients, log })
    expect((await clients.get('admin'))?.version).toBe(version)
    expect(await loadClientKey(path)).toBeUndefined()
  })

  test('keeps a key that it was given through the API, with a warning about the file', async () => {
    await loadOrCreateClientKey(path)
    await ensureAdminClient(config, { clients, log })
    const other = publicClientKey(await loadOrCreateClientKey(join(makeFolder(), 'other.jwk')))
    await clients.update('admin', { jwks: { keys: [other] } })
    await ensureAdminClient(config, { clients, log })
    expect(await kidsOf()).toEqual([other.kid])
    expect(lines.join('')).toContain('admin.other_key')
  })

  test('gets a new key for an operator who asks for one', async () => {
    await ensureAdminClient(config, { clients, log })
    const before = await kidsOf()
    await rm(path, { force: true })
    await replaceAdminKey(config, clients)
    expect(await kidsOf()).toEqual([(await loadClientKey(path))?.kid])
    expect(await kidsOf()).not.toEqual(before)
  })

  test('on a shared store keeps the key that another machine has', async () => {
    await ensureAdminClient(config, { clients, log })
    const kids = await kidsOf()
    const elsewhere = configOf(makeFolder())
    const shared = { ...elsewhere, redis: { url: 'redis://shared.example' } }
    await ensureAdminClient(shared, { clients, log })
    expect(await kidsOf()).toEqual(kids)
    expect(await loadClientKey(join(elsewhere.keys.dir, 'admin.jwk'))).toBeUndefined()
  })

  test('that somebody deleted stays deleted, and the start goes on', async () => {
    await ensureAdminClient(config, { clients, log })
    await clients.delete('admin')
    await ensureAdminClient(config, { clients, log })
    expect(await clients.get('admin')).toBeUndefined()
    expect(lines.join('')).toContain('admin.client_not_made')
  })
})
