import { randomUUID } from 'node:crypto'
import { epochSeconds, type Clock } from '../kernel/clock.ts'
import { AppError } from '../kernel/errors.ts'
import type { RevokeAround } from '../revocations/revoke-around.ts'
import type { Store } from '../store/store.ts'
import { commitUnlessOutrun, putRecord, type Kept, type KeptRecords } from './kept-record.ts'
import { putMark, type RequestMark } from './made-once.ts'
import { listPage } from './pages.ts'
import type { Expected, Tenants } from './registry.ts'
import { mergeSettings } from './merge-settings.ts'
import { TENANT_PREFIX, tenantKeyOf, tenantTombstoneOf } from './tenant-keeping.ts'
import { deleteMembersOf } from './tenant-members.ts'
import {
  DEFAULT_TENANT_ID,
  tenantRecordSchema,
  type NewTenant,
  type Tenant,
  type TenantRecord,
} from './tenant.ts'

export type TenantsOptions = {
  store: Store
  clock: Clock
  records: KeptRecords<TenantRecord>
  revokeAround: RevokeAround
}

/** The life of a tenant, whose members go with it. */
export function createTenants({ store, clock, records, revokeAround }: TenantsOptions): Tenants {
  const create = async (request: NewTenant, mark?: RequestMark): Promise<Tenant> => {
    const now = epochSeconds(clock)
    const tenantId = request.tenant_id ?? randomUUID()
    const record: TenantRecord = {
      ...request,
      tenant_id: tenantId,
      status: 'active',
      created_at: now,
      updated_at: now,
    }
    const outcome = await commitUnlessOutrun(store, [
      putRecord(tenantKeyOf(tenantId), record),
      { kind: 'check', id: tenantTombstoneOf(tenantId), expect: 'absent' },
      ...putMark(mark, tenantId),
    ])
    if ('version' in outcome) return toTenant({ record, version: outcome.version })
    throw new AppError('already_exists', 'The id of the tenant is or was in use.')
  }

  const resume = async (tenantId: string, expected: Expected = {}): Promise<Tenant> =>
    toTenant(
      await records.change(tenantId, expected, async (current) => ({
        next: { ...requireThere(current), status: 'active', updated_at: epochSeconds(clock) },
      })),
    )

  const suspend = (tenantId: string, expected: Expected = {}) =>
    revokeAround({ kind: 'tenant', value: tenantId }, async (revoke) =>
      toTenant(
        await records.change(tenantId, expected, async (current) => {
          requireThere(current)
          await revoke()
          return { next: { ...current, status: 'suspended', updated_at: epochSeconds(clock) } }
        }),
      ),
    )

  const remove = async (tenantId: string, expected: Expected = {}): Promise<void> => {
    if (tenantId === DEFAULT_TENANT_ID) {
      throw new AppError('in_use', 'The default tenant has to be there; suspend it instead.')
    }
    const before = await records.require(tenantId)
    const isBegun = before.record.status === 'deleting'
    await revokeAround({ kind: 'tenant', value: tenantId }, (revoke) =>
      records.change(tenantId, isBegun ? {} : expected, async (current) => {
        await revoke()
        return { next: { ...current, status: 'deleting' } }
      }),
    )
    // Nobody joins a tenant that is being deleted, so this ends.
    await deleteMembersOf(store, { tenantId, now: epochSeconds(clock) })
    await records.remove(tenantId, {}, async () => ({
      also: [putRecord(tenantTombstoneOf(tenantId), { deleted_at: epochSeconds(clock) })],
    }))
  }

  return {
    create,
    get: async (tenantId) => {
      const kept = await records.read(tenantId)
      return kept && isThere(kept.record) ? toTenant(kept) : undefined
    },
    list: (query) =>
      listPage(store, { ...query, prefix: TENANT_PREFIX }, async ({ value, version }) => {
        const record = tenantRecordSchema.parse(value)
        return isThere(record) ? toTenant({ record, version }) : undefined
      }),
    update: async (tenantId, update, expected = {}) =>
      toTenant(
        await records.change(tenantId, expected, async (current) => ({
          next: tenantRecordSchema.parse({
            ...mergeSettings(requireThere(current), update),
            updated_at: epochSeconds(clock),
          }),
        })),
      ),
    suspend,
    resume,
    delete: remove,
  }
}

type ThereTenant = TenantRecord & { status: Tenant['status'] }

/** One that is being deleted is gone for everybody but those who delete it. */
function isThere(record: TenantRecord): record is ThereTenant {
  return record.status !== 'deleting'
}

function requireThere(record: TenantRecord): ThereTenant {
  if (isThere(record)) return record
  throw new AppError('not_found', 'There is no such tenant.')
}

function toTenant({ record, version }: Kept<TenantRecord>): Tenant {
  return { ...requireThere(record), version }
}
