import { AppError } from '../kernel/errors.ts'
import type { Change, Store } from '../store/store.ts'
import { createKeptRecords, type KeptRecords } from './kept-record.ts'
import { tenantRecordSchema, type TenantRecord } from './tenant.ts'

export const TENANT_PREFIX = 'tenant/'
export const tenantKeyOf = (tenantId: string) => `${TENANT_PREFIX}${tenantId}`
/** Says that the id was given once: then it is not given again, as logs and usage still speak of who had it. */
export const tenantTombstoneOf = (tenantId: string) => `gone/tenant/${tenantId}`

export const createTenantRecords = (store: Store): KeptRecords<TenantRecord> =>
  createKeptRecords(store, { noun: 'tenant', keyOf: tenantKeyOf, schema: tenantRecordSchema })

/** For a commit that makes somebody a member: that the tenant is there and stays so until then. */
export async function checkOfTenant(
  tenants: KeptRecords<TenantRecord>,
  tenantId: string,
): Promise<Change> {
  const kept = await tenants.read(tenantId)
  if (kept === undefined || kept.record.status === 'deleting') {
    throw new AppError('invalid_metadata', 'tenant_id: there is no such tenant.')
  }
  return { kind: 'check', id: tenantKeyOf(tenantId), expect: { version: kept.version } }
}
