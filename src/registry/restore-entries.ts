import { z } from 'zod'
import { epochSeconds, type Clock } from '../kernel/clock.ts'
import { appendRevocation } from '../revocations/append-revocation.ts'
import { isSpent } from '../revocations/revocation.ts'
import { ConflictError, type Change, type Store } from '../store/store.ts'
import type { BackupEntry } from './backup-entry.ts'
import { clientKeyOf, clientListOf, clientTombstoneOf } from './client-keeping.ts'
import { REGISTRY } from './kept-record.ts'
import { putUse } from './secret-uses.ts'
import { tenantKeyOf, tenantTombstoneOf } from './tenant-keeping.ts'
import { userKeyOf, userListOf } from './user-keeping.ts'

export type Restoring = {
  /** To be called with no more than a few hundred at a time. */
  write: (entries: readonly BackupEntry[]) => Promise<void>
  finish: () => Promise<void>
}

/** While it is there, the store holds half of the backup that it names. */
const MARK = 'restoring'
const markSchema = z.strictObject({ backup_id: z.string() })

/**
 * Begins to fill an empty store, or goes on where the same backup was being restored before. Undefined, having changed
 * nothing, when there is anything else in it. Fails as the store can.
 */
export async function beginRestore(
  { store, clock }: { store: Store; clock: Clock },
  backupId: string,
): Promise<Restoring | undefined> {
  if (!(await mayFill(store, backupId))) return undefined
  return {
    write: async (entries) => {
      const changes = entries.flatMap(changesFor)
      if (changes.length > 0) await store.commit(REGISTRY, changes)
      const now = epochSeconds(clock)
      for (const entry of entries) {
        if (entry.kind !== 'revocation' || isSpent(entry.record, now)) continue
        await appendRevocation(store, entry.record)
      }
    },
    finish: async () => {
      await store.commit(REGISTRY, [{ kind: 'delete', id: MARK, expect: 'any' }])
    },
  }
}

/** Whether a restore has begun and not ended: such a store lacks people and must not be served. */
export async function isHalfRestored(store: Store): Promise<boolean> {
  return (await store.get(REGISTRY, MARK)) !== undefined
}

async function mayFill(store: Store, backupId: string): Promise<boolean> {
  const mark = await store.get(REGISTRY, MARK)
  if (mark !== undefined) return markSchema.parse(mark.value).backup_id === backupId
  if (!(await isEmpty(store))) return false
  const value = markSchema.parse({ backup_id: backupId })
  try {
    await store.commit(REGISTRY, [{ ...put(MARK, value), expect: 'absent' }])
    return true
  } catch (error) {
    // Somebody else restores into it at this moment.
    if (error instanceof ConflictError) return false
    throw error
  }
}

async function isEmpty(store: Store): Promise<boolean> {
  let after: string | undefined
  do {
    const { records, next } = await store.list(REGISTRY, { after, limit: 100 })
    if (records.length > 0) return false
    after = next
  } while (after !== undefined)
  return true
}

function changesFor(entry: BackupEntry): Change[] {
  switch (entry.kind) {
    case 'tenant':
      return [put(tenantKeyOf(entry.record.tenant_id), entry.record)]
    case 'client': {
      const { client_id: clientId, tenant_id: tenantId } = entry.record
      return [
        put(clientKeyOf(clientId), entry.record),
        put(`${clientListOf(tenantId)}${clientId}`, {}),
      ]
    }
    case 'user': {
      const { sub, tenant_id: tenantId, username } = entry.record
      return [put(userKeyOf(sub), entry.record), put(`${userListOf(tenantId)}${username}`, { sub })]
    }
    case 'gone': {
      const tombstoneOf = entry.of === 'client' ? clientTombstoneOf : tenantTombstoneOf
      return [put(tombstoneOf(entry.id), { deleted_at: entry.deleted_at })]
    }
    case 'used':
      return [putUse(entry.client_id, entry.secret_id, entry.last_used_at)]
    case 'revocation':
      return []
  }
}

/** Whatever is there by then comes from the same backup. */
const put = (id: string, value: object): Change & { kind: 'put' } => ({
  kind: 'put',
  id,
  value,
  expect: 'any',
  lifetime: 'permanent',
})
