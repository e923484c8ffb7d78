import { afterAll, beforeAll, expect, test } from 'vitest'
import { UnconfirmedWriteError, type Store } from '../../src/store/store.ts'
import { startAdminServer, type AdminServer } from '../support/admin-server.ts'

let admin: AdminServer
let isWithoutReplica = false

/** What a Redis does whose replicas are away: it writes, and nobody confirms it. */
const unconfirming = (store: Store): Store => {
  const afterwards = async <T>(write: Promise<T>): Promise<T> => {
    const done = await write
    if (isWithoutReplica) throw new UnconfirmedWriteError()
    return done
  }
  return {
    ...store,
    commit: (collection, changes) => afterwards(store.commit(collection, changes)),
    append: (journal, value) => afterwards(store.append(journal, value)),
  }
}
beforeAll(async () => {
  admin = await startAdminServer(unconfirming)
})
afterAll(() => admin.close())

/** Their answer is 503, as a failover may undo it, but what must stop stops at once. */
const unconfirmed = {
  status: 503,
  body: { detail: expect.stringMatching(/^It is done, but no replica/) },
}

test.each([
  ['POST', '/disable', 200],
  ['DELETE', '', 204],
] as const)(
  '%s clients/{id}%s without a replica works at once, says that it is not confirmed, and again later',
  async (method, verb, statusLater) => {
    const { body } = await admin.send('POST', 'clients', { body: {} })
    const clientId = String(body['client_id'])
    isWithoutReplica = true
    expect(await admin.send(method, `clients/${clientId}${verb}`)).toMatchObject(unconfirmed)
    expect(await admin.registry.clients.findIssuable(clientId)).toBeUndefined()
    isWithoutReplica = false
    const later = await admin.send(method, `clients/${clientId}${verb}`)
    expect(later.status).toBe(statusLater === 204 ? 404 : statusLater)
  },
)

test('the tokens of an operator who is disabled without a replica are refused', async () => {
  const scope = 'admin:read ocr_api_access'
  await admin.send('POST', 'clients', { body: { client_id: 'second', scope } })
  const claims = { sub: 'second', client_id: 'second', scope }
  expect((await admin.send('GET', 'clients', { claims })).status).toBe(200)
  isWithoutReplica = true
  expect(await admin.send('POST', 'clients/second/disable')).toMatchObject(unconfirmed)
  isWithoutReplica = false
  await admin.send('POST', 'clients/second/enable')
  await expect.poll(async () => (await admin.send('GET', 'clients', { claims })).status).toBe(401)
})

test('a tenant is suspended, and a user disabled, without a replica', async () => {
  await admin.send('POST', 'tenants', { body: { tenant_id: 'acme' } })
  const user = { username: 'zhang', password: 'long enough', tenant_id: 'acme' }
  const sub = String((await admin.send('POST', 'users', { body: user })).body['sub'])
  isWithoutReplica = true
  expect(await admin.send('POST', `users/${sub}/disable`)).toMatchObject(unconfirmed)
  expect(await admin.send('POST', 'tenants/acme/suspend')).toMatchObject(unconfirmed)
  isWithoutReplica = false
  expect((await admin.send('GET', `users/${sub}`)).body).toMatchObject({ status: 'disabled' })
  expect((await admin.send('GET', 'tenants/acme')).body).toMatchObject({ status: 'suspended' })
})

test('a change that the store did not take is no success, and revokes nothing that it would not', async () => {
  const { body } = await admin.send('POST', 'clients', { body: {} })
  const path = `clients/${String(body['client_id'])}/disable`
  isWithoutReplica = true
  const stale = await admin.send('POST', path, { headers: { 'if-match': '"old"' } })
  isWithoutReplica = false
  expect(stale.status).toBe(412)
  expect((await admin.send('GET', path.replace('/disable', ''))).body).toMatchObject({
    status: 'active',
  })
})
