import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Registry as MetricsRegistry } from 'prom-client'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { newClientSchema } from '../../src/registry/client.ts'
import { createRegistry } from '../../src/registry/create-registry.ts'
import type { Registry } from '../../src/registry/registry.ts'
import { newTenantSchema } from '../../src/registry/tenant.ts'
import { watchSecrets } from '../../src/registry/watch-secrets.ts'
import { openSqliteStore } from '../../src/store/sqlite.ts'
import type { Store } from '../../src/store/store.ts'
import { createTestLog } from '../support/log-lines.ts'
import { samplesOf } from '../support/metrics.ts'

const DAY = 86_400
let dir: string
let store: Store
let registry: Registry
let now: number
const clock = () => now * 1000

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'gatehouse-secrets-'))
  now = Math.floor(Date.now() / 1000)
  store = await openSqliteStore({ path: join(dir, 'gatehouse.db'), clock })
  registry = createRegistry({ store, clock, maxFailuresPerMinute: 30 })
  await registry.tenants.create(newTenantSchema.parse({ tenant_id: 'default' }))
})
afterEach(async () => {
  await store.close()
  await rm(dir, { recursive: true })
})

/** A client whose secrets end after so many days, or never. */
async function createClient(clientId: string, ...days: (number | undefined)[]) {
  const request = newClientSchema.parse({ client_id: clientId })
  const first = await registry.clients.create(request)
  const [{ secret_id: firstId } = { secret_id: '' }] = await registry.clients.listSecrets(clientId)
  const added = []
  for (const each of days) {
    const expiry = each === undefined ? {} : { expires_at: now + each * DAY }
    added.push(await registry.clients.addSecret(clientId, expiry))
  }
  await registry.clients.removeSecret(clientId, firstId, { isForced: true })
  return { ...first, secrets: added }
}

const found = async () =>
  (await registry.clients.listExpiringSecrets()).map(({ clientId, isLast }) => [clientId, isLast])

test('a secret is expiring when its client has none that outlives it', async () => {
  await createClient('never', undefined)
  await createClient('replaced', 3, undefined)
  await createClient('in-a-year', 365)
  await createClient('in-20-days', 2, 20)
  await createClient('tomorrow', 1)
  await createClient('disabled', 1)
  await registry.clients.disable('disabled')
  expect(await found()).toEqual([
    ['tomorrow', true],
    ['in-20-days', true],
  ])
  now += 2 * DAY
  expect(await found()).toEqual([['in-20-days', true]])
})

test('or when it was used within the last day although there is another', async () => {
  const { secrets } = await createClient('half-way', 3, undefined)
  const attempt = { clientId: 'half-way', secret: secrets[0]?.clientSecret ?? '', address: '::1' }
  expect(await found()).toEqual([])
  expect(await registry.clients.verifySecret(attempt)).toBe(true)
  expect(await found()).toEqual([['half-way', false]])
  await registry.saveUses()
  now += 1.5 * DAY
  expect(await found()).toEqual([])
})

test('they are counted by how soon, and named in the log once a week before and once a day before', async () => {
  await createClient('soon', 5)
  await createClient('later', 20)
  const metrics = new MetricsRegistry()
  const { log, lines } = createTestLog()
  const watch = watchSecrets({ clients: registry.clients, registry: metrics, clock, log })
  try {
    await watch.look()
    const counts = async () => samplesOf(await metrics.metrics()).map(({ value }) => value)
    const named = () => lines.map((line) => (JSON.parse(line) as { client_id?: string }).client_id)
    expect(await counts()).toEqual([0, 1, 2])
    await watch.look()
    expect(named()).toEqual(['soon'])
    now += 4.5 * DAY
    await watch.look()
    await watch.look()
    expect(await counts()).toEqual([1, 1, 2])
    expect(named()).toEqual(['soon', 'soon'])
    expect(watch.expiring().map(({ clientId }) => clientId)).toEqual(['soon', 'later'])
  } finally {
    watch.stop()
  }
})
