import type { Change, Store } from '../store/store.ts'
import { commitUnlessOutrun, tooMuchContention, type KeptRecords } from './kept-record.ts'
import { checkOfTenant } from './tenant-keeping.ts'
import type { TenantRecord } from './tenant.ts'

export type Membership = {
  store: Store
  tenants: KeptRecords<TenantRecord>
  tenantId: string
}

const MAX_ATTEMPTS = 20

/**
 * Commits what makes somebody a member of the tenant, while the tenant is there. The version, or undefined when one of
 * the changes themselves did not find what it expected. AppError `invalid_metadata` when there is no such tenant.
 */
export async function commitAsMember(
  { store, tenants, tenantId }: Membership,
  changes: readonly Change[],
): Promise<string | undefined> {
  for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt += 1) {
    const check = await checkOfTenant(tenants, tenantId)
    const outcome = await commitUnlessOutrun(store, [...changes, check])
    if ('version' in outcome) return outcome.version
    // A tenant that only changed is no obstacle.
    if (outcome.conflictingId !== check.id) return undefined
  }
  throw tooMuchContention()
}
