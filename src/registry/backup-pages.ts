import { z } from 'zod'
import { AppError } from '../kernel/errors.ts'
import { REVOCATIONS, revocationSchema } from '../revocations/revocation.ts'
import type { Store } from '../store/store.ts'
import type { BackupEntry } from './backup-entry.ts'
import { CLIENT_PREFIX, clientTombstoneOf } from './client-keeping.ts'
import { clientRecordSchema } from './client.ts'
import { epochSecondsSchema, identifierSchema } from './identifier.ts'
import { REGISTRY } from './kept-record.ts'
import { listPage } from './pages.ts'
import type { Page, PageQuery } from './registry.ts'
import { USED_PREFIX, useSchema } from './secret-uses.ts'
import { TENANT_PREFIX, tenantTombstoneOf } from './tenant-keeping.ts'
import { tenantRecordSchema } from './tenant.ts'
import { USER_LIST_PREFIX, listedUserSchema, userKeyOf, userListOf } from './user-keeping.ts'
import { userRecordSchema } from './user.ts'

type ReadPart = (store: Store, query: PageQuery) => Promise<Page<BackupEntry>>

/**
 * In this order, which is what makes a backup consistent although others write meanwhile. Members come before their
 * tenants: whoever is in it has a tenant that is in it, or one that was deleted meanwhile. Tombstones come after all that
 * they can speak of, those of tenants first: where one is there, so are those of its clients, which went before it.
 * Revocations come last, as they are written before what they belong to.
 */
const PARTS: readonly ReadPart[] = [
  readClients,
  readUsers,
  readTenants,
  readTombstones('tenant', tenantTombstoneOf('')),
  readTombstones('client', clientTombstoneOf('')),
  readUses,
  readRevocations,
]
const PART_OF_CURSOR = /^(\d)\/(.*)$/s

/**
 * A page of everything that a new store needs to go on as this one. All pages together hold whatever was acknowledged
 * before the first was read; what is made, changed or deleted meanwhile is there as it was or as it is, but whole.
 * What a tombstone or a missing tenant says to be gone must be left out by the reader. AppError `malformed_request` for
 * a cursor that is none of ours.
 */
export async function readBackupPage(
  store: Store,
  { cursor, limit }: PageQuery,
): Promise<Page<BackupEntry>> {
  const [, position = '0', rest] = PART_OF_CURSOR.exec(cursor ?? '0/') ?? []
  const part = Number(position)
  const readPart = PARTS[part]
  if (readPart === undefined || rest === undefined) {
    throw new AppError('malformed_request', 'cursor: is none of ours.')
  }
  const query = { cursor: rest === '' ? undefined : rest, limit }
  const { items, next_cursor: next } = await readPart(store, query)
  if (next !== undefined) return { items, next_cursor: `${part}/${next}` }
  return part + 1 < PARTS.length ? { items, next_cursor: `${part + 1}/` } : { items }
}

function readClients(store: Store, query: PageQuery): Promise<Page<BackupEntry>> {
  return listPage(store, { ...query, prefix: CLIENT_PREFIX }, async ({ value }) => ({
    kind: 'client',
    record: clientRecordSchema.parse(value),
  }))
}

/** By their names, of which each has one user: by subject, a name that passed from one to another would be there twice. */
function readUsers(store: Store, query: PageQuery): Promise<Page<BackupEntry>> {
  return listPage(store, { ...query, prefix: USER_LIST_PREFIX }, async ({ rest, value }) => {
    const stored = await store.get(REGISTRY, userKeyOf(listedUserSchema.parse(value).sub))
    if (stored === undefined) return undefined
    const record = userRecordSchema.parse(stored.value)
    const isListedSo =
      `${USER_LIST_PREFIX}${rest}` === `${userListOf(record.tenant_id)}${record.username}`
    return isListedSo ? { kind: 'user', record } : undefined
  })
}

function readTenants(store: Store, query: PageQuery): Promise<Page<BackupEntry>> {
  return listPage(store, { ...query, prefix: TENANT_PREFIX }, async ({ value }) => ({
    kind: 'tenant',
    record: tenantRecordSchema.parse(value),
  }))
}

const tombstoneSchema = z.object({ deleted_at: epochSecondsSchema })

function readTombstones(of: 'tenant' | 'client', prefix: string): ReadPart {
  return (store, query) =>
    listPage(store, { ...query, prefix }, async ({ rest, value }) => ({
      kind: 'gone',
      of,
      id: identifierSchema.parse(rest),
      ...tombstoneSchema.parse(value),
    }))
}

function readUses(store: Store, query: PageQuery): Promise<Page<BackupEntry>> {
  return listPage(store, { ...query, prefix: USED_PREFIX }, async ({ rest, value }) => {
    const [client_id = '', secret_id = ''] = rest.split('/')
    return { kind: 'used', client_id, secret_id, ...useSchema.parse(value) }
  })
}

async function readRevocations(
  store: Store,
  { cursor, limit }: PageQuery,
): Promise<Page<BackupEntry>> {
  const entries = await store.read(REVOCATIONS, { after: cursor, limit })
  const items = entries.map(({ value }): BackupEntry => ({
    kind: 'revocation',
    record: revocationSchema.parse(value),
  }))
  const last = entries.at(-1)
  return last === undefined || entries.length < limit ? { items } : { items, next_cursor: last.id }
}
