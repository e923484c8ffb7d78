import type { Change, Store } from '../store/store.ts'
import { clientRecordSchema, type Client, type ClientRecord } from './client.ts'
import { createKeptRecords, type Kept, type KeptRecords } from './kept-record.ts'

export const CLIENT_PREFIX = 'client/'
export const clientKeyOf = (clientId: string) => `${CLIENT_PREFIX}${clientId}`
/** Where the clients of a tenant are listed, by id; the value says nothing. */
export const clientListOf = (tenantId: string) => `client-of/${tenantId}/`
/** Says that the id was given once: then it is never given again. */
export const clientTombstoneOf = (clientId: string) => `gone/client/${clientId}`

export const createClientRecords = (store: Store): KeptRecords<ClientRecord> =>
  createKeptRecords(store, { noun: 'client', keyOf: clientKeyOf, schema: clientRecordSchema })

/** What goes, and what stays instead, beside the client itself. `now` is in seconds since the epoch. */
export function tracesOfClient({ clientId, tenantId, now }: GoneClient): readonly Change[] {
  const tombstone = { deleted_at: now }
  return [
    { kind: 'delete', id: `${clientListOf(tenantId)}${clientId}`, expect: 'any' },
    {
      kind: 'put',
      id: clientTombstoneOf(clientId),
      value: tombstone,
      expect: 'any',
      lifetime: 'permanent',
    },
  ]
}
export type GoneClient = { clientId: string; tenantId: string; now: number }

export function toClient({ record, version }: Kept<ClientRecord>): Client {
  const { secrets: _hidden, ...shown } = record
  return { ...shown, version }
}
