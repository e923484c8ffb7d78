import { clientKeyOf, clientListOf } from '../../src/registry/client-keeping.ts'
import { newClientSchema } from '../../src/registry/client.ts'
import { REGISTRY } from '../../src/registry/kept-record.ts'
import type { Clients } from '../../src/registry/registry.ts'
import type { Change, Store } from '../../src/store/store.ts'

const BATCH = 1000

/** A client of the tenant `default`. */
export async function makeClient(
  clients: Clients,
): Promise<{ clientId: string; clientSecret: string }> {
  const { client, clientSecret = '' } = await clients.create(newClientSchema.parse({}))
  return { clientId: client.client_id, clientSecret }
}

/**
 * Copies of that client, `copy-<from>` up to `copy-<until - 1>`, straight into the store: to hash a secret for each would
 * take an hour.
 */
export async function addCopies(
  store: Store,
  clientId: string,
  until: number,
  from = 0,
): Promise<void> {
  const value = (await store.get(REGISTRY, clientKeyOf(clientId)))?.value
  if (typeof value !== 'object') throw new Error('no client to copy')
  for (let start = from; start < until; start += BATCH) {
    const changes = Array.from({ length: Math.min(BATCH, until - start) }, (_, index) => {
      const copyId = `copy-${start + index}`
      return [
        put(clientKeyOf(copyId), { ...value, client_id: copyId }),
        put(`${clientListOf('default')}${copyId}`, {}),
      ]
    })
    await store.commit(REGISTRY, changes.flat())
  }
}

function put(id: string, value: object): Change {
  return { kind: 'put', id, value, expect: 'absent', lifetime: 'permanent' }
}
