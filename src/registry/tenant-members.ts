import type { Change, Store } from '../store/store.ts'
import { clientKeyOf, clientListOf, tracesOfClient } from './client-keeping.ts'
import { REGISTRY } from './kept-record.ts'
import { listedUserSchema, traceOfUser, userKeyOf, userListOf } from './user-keeping.ts'

const BATCH = 100

/** Deletes all clients and users of a tenant that nobody can join any more. It may be repeated. */
export async function deleteMembersOf(
  store: Store,
  { tenantId, now }: { tenantId: string; now: number },
): Promise<void> {
  await deleteListed(store, clientListOf(tenantId), (clientId) => [
    { kind: 'delete', id: clientKeyOf(clientId), expect: 'any' },
    ...tracesOfClient({ clientId, tenantId, now }),
  ])
  await deleteListed(store, userListOf(tenantId), (username, value) => [
    { kind: 'delete', id: userKeyOf(listedUserSchema.parse(value).sub), expect: 'any' },
    traceOfUser({ tenantId, username }),
  ])
}

async function deleteListed(
  store: Store,
  prefix: string,
  removalOf: (rest: string, value: unknown) => readonly Change[],
): Promise<void> {
  for (;;) {
    const { records, next } = await store.list(REGISTRY, { prefix, limit: BATCH })
    const changes = records.flatMap(({ id, value }) => removalOf(id.slice(prefix.length), value))
    if (changes.length > 0) await store.commit(REGISTRY, changes)
    if (next === undefined) return
  }
}
