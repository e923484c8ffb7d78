import { z } from 'zod'
import type { Change, Store } from '../store/store.ts'
import { createKeptRecords, type Kept, type KeptRecords } from './kept-record.ts'
import { userRecordSchema, userSubjectSchema, type User, type UserRecord } from './user.ts'

/** Users are kept under their subject, `user:<uuid>`, which begins with what keeps them apart. */
export const USER_PREFIX = 'user:'
export const userKeyOf = (sub: string) => sub
export const USER_LIST_PREFIX = 'user-of/'
/** Where the users of a tenant are listed, by username; the value says who it is. */
export const userListOf = (tenantId: string) => `${USER_LIST_PREFIX}${tenantId}/`
export const listedUserSchema = z.strictObject({ sub: userSubjectSchema })

export const createUserRecords = (store: Store): KeptRecords<UserRecord> =>
  createKeptRecords(store, { noun: 'user', keyOf: userKeyOf, schema: userRecordSchema })

/** What goes with a user. */
export function traceOfUser({ tenantId, username }: GoneUser): Change {
  return { kind: 'delete', id: `${userListOf(tenantId)}${username}`, expect: 'any' }
}
export type GoneUser = { tenantId: string; username: string }

export function toUser({ record, version }: Kept<UserRecord>): User {
  const { password_hash: _hidden, ...shown } = record
  return { ...shown, version }
}
