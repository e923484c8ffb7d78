import { afterAll, expect, test } from 'vitest'
import { ensureTerminalClient, TERMINAL_CLIENT_ID } from '../../src/cli/terminal-client.ts'
import { systemClock } from '../../src/kernel/clock.ts'
import { createRegistry } from '../../src/registry/create-registry.ts'
import { newTenantSchema } from '../../src/registry/tenant.ts'
import { createTestLog } from '../support/log-lines.ts'
import { openTestSqlite } from '../support/stores.ts'

const { log } = createTestLog()
const { store, stop } = await openTestSqlite(systemClock)
afterAll(stop)

test('the client of the command line is made once, stays as operators want it, and stays away', async () => {
  const { tenants, clients } = createRegistry({
    store,
    clock: systemClock,
    maxFailuresPerMinute: 30,
  })
  await tenants.create(newTenantSchema.parse({ tenant_id: 'default' }))
  await ensureTerminalClient(clients, log)
  expect(await clients.get(TERMINAL_CLIENT_ID)).toMatchObject({
    tenant_id: 'default',
    token_endpoint_auth_method: 'none',
    grant_types: ['urn:ietf:params:oauth:grant-type:device_code', 'refresh_token'],
  })
  await clients.disable(TERMINAL_CLIENT_ID)
  await ensureTerminalClient(clients, log)
  expect(await clients.get(TERMINAL_CLIENT_ID)).toMatchObject({ status: 'disabled' })
  await clients.delete(TERMINAL_CLIENT_ID)
  await ensureTerminalClient(clients, log)
  expect(await clients.get(TERMINAL_CLIENT_ID)).toBeUndefined()
})
