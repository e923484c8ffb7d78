import { randomUUID } from 'node:crypto'
import { epochSeconds, type Clock } from '../kernel/clock.ts'
import { AppError } from '../kernel/errors.ts'
import type { RevokeAround } from '../revocations/revoke-around.ts'
import type { Store } from '../store/store.ts'
import type { GuessLimits, Outcome } from './guess-limits.ts'
import type { HashPool } from './hash-pool.ts'
import { putRecord, REGISTRY, type KeptRecords } from './kept-record.ts'
import { putMark } from './made-once.ts'
import { commitAsMember } from './membership.ts'
import { mergeSettings } from './merge-settings.ts'
import { listPage } from './pages.ts'
import type { Expected, PasswordAttempt, TenantPageQuery, Users } from './registry.ts'
import type { TenantRecord } from './tenant.ts'
import {
  listedUserSchema,
  toUser,
  traceOfUser,
  USER_PREFIX,
  userKeyOf,
  userListOf,
} from './user-keeping.ts'
import { usernameSchema, userRecordSchema, type User, type UserRecord } from './user.ts'

export type UsersOptions = {
  store: Store
  clock: Clock
  pool: HashPool
  limits: GuessLimits
  records: KeptRecords<UserRecord>
  tenants: KeptRecords<TenantRecord>
  revokeAround: RevokeAround
}

/** The life of a user, and the check of the password. */
export function createUsers(options: UsersOptions): Users {
  const { store, clock, pool, limits, records, tenants, revokeAround } = options

  const create: Users['create'] = async ({ password, ...request }, mark) => {
    const now = epochSeconds(clock)
    const record: UserRecord = {
      ...request,
      sub: `${USER_PREFIX}${randomUUID()}`,
      status: 'active',
      created_at: now,
      updated_at: now,
      password_hash: await pool.hash(password),
    }
    const { sub, username, tenant_id: tenantId } = record
    const version = await commitAsMember({ store, tenants, tenantId }, [
      putRecord(`${userListOf(tenantId)}${username}`, { sub }),
      putRecord(userKeyOf(sub), record),
      ...putMark(mark, sub),
    ])
    if (version !== undefined) return toUser({ record, version })
    throw new AppError('already_exists', 'The tenant has a user of that name.')
  }

  const get = async (sub: string): Promise<User | undefined> => {
    const kept = sub.startsWith(USER_PREFIX) ? await records.read(sub) : undefined
    return kept && toUser(kept)
  }

  const readByName = async (tenantId: string, username: string) => {
    const name = usernameSchema.safeParse(username)
    if (!name.success) return undefined
    const listed = await store.get(REGISTRY, `${userListOf(tenantId)}${name.data}`)
    return listed && records.read(listedUserSchema.parse(listed.value).sub)
  }

  /** Changes a user after revoking the tokens of that user. */
  const cut = (sub: string, expected: Expected, change: (user: UserRecord) => UserRecord) =>
    revokeAround({ kind: 'sub', value: sub }, async (revoke) =>
      toUser(
        await records.change(sub, expected, async (current) => {
          await revoke()
          return { next: { ...change(current), updated_at: epochSeconds(clock) } }
        }),
      ),
    )

  const list = ({ tenantId, ...query }: TenantPageQuery) =>
    tenantId === undefined
      ? listPage(store, { ...query, prefix: USER_PREFIX }, async ({ value, version }) =>
          toUser({ record: userRecordSchema.parse(value), version }),
        )
      : listPage(store, { ...query, prefix: userListOf(tenantId) }, ({ value }) =>
          get(listedUserSchema.parse(value).sub),
        )

  const isActive = async ({ status, tenant_id: tenantId }: UserRecord): Promise<boolean> =>
    status === 'active' && (await tenants.read(tenantId))?.record.status === 'active'

  const findIssuable = async (sub: string): Promise<User | undefined> => {
    const kept = sub.startsWith(USER_PREFIX) ? await records.read(sub) : undefined
    return kept && (await isActive(kept.record)) ? toUser(kept) : undefined
  }

  /** The user of that name, if that is the password. */
  const matchPassword = async (attempt: PasswordAttempt): Promise<UserRecord | undefined> => {
    const { tenantId, username, password, address } = attempt
    const name = usernameSchema.safeParse(username).data ?? ''
    const end = limits.begin(`${userListOf(tenantId)}${name}`, address)
    let outcome: Outcome = 'unknown'
    try {
      const kept = await readByName(tenantId, username)
      const isMatch = await pool.verify(kept?.record.password_hash, password)
      outcome = isMatch ? 'right' : 'wrong'
      return isMatch ? kept?.record : undefined
    } finally {
      end(outcome)
    }
  }

  const verifyPassword: Users['verifyPassword'] = async (attempt) => {
    const matched = await matchPassword(attempt)
    if (matched === undefined) return undefined
    // argon2 may have waited in line for long: what counts is the user as it is now.
    const current = await records.read(matched.sub)
    if (current?.record.password_hash !== matched.password_hash) return undefined
    return (await isActive(current.record)) ? toUser(current) : undefined
  }

  return {
    create,
    get,
    find: async (tenantId, username) => {
      const kept = await readByName(tenantId, username)
      return kept && toUser(kept)
    },
    list,
    update: async (sub, update, expected = {}) =>
      toUser(
        await records.change(sub, expected, async (current) => ({
          next: userRecordSchema.parse({
            ...mergeSettings(current, update),
            updated_at: epochSeconds(clock),
          }),
        })),
      ),
    setPassword: async (sub, password, expected = {}) => {
      const password_hash = await pool.hash(password)
      return cut(sub, expected, (user) => ({ ...user, password_hash }))
    },
    disable: (sub, expected = {}) =>
      cut(sub, expected, (user) => ({ ...user, status: 'disabled' })),
    enable: async (sub, expected = {}) =>
      toUser(
        await records.change(sub, expected, async (current) => ({
          next: { ...current, status: 'active', updated_at: epochSeconds(clock) },
        })),
      ),
    delete: (sub, expected = {}) =>
      revokeAround({ kind: 'sub', value: sub }, (revoke) =>
        records.remove(sub, expected, async ({ tenant_id: tenantId, username }) => {
          await revoke()
          return { also: [traceOfUser({ tenantId, username })] }
        }),
      ),
    findIssuable,
    verifyPassword,
  }
}
