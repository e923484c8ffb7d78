import { LIMIT_NAMES, type Account, type Accounts, type Quota } from '../store/counters.ts'
import type { AccessToken } from '../tokens/access-token.ts'
import type { LimitsClaim } from '../tokens/claims.ts'

/** Whom a limit is about, from the narrowest. */
export const LEVELS = ['subject', 'client', 'tenant'] as const
export type Level = (typeof LEVELS)[number]

/** The accounts that a caller's requests are counted in, each with the level that it is of. */
export type LimitedAccounts = Accounts & { readonly levels: readonly Level[] }

/**
 * Whose use a token's requests are counted as: of its tenant, of its client in that tenant, and of its subject in that
 * tenant, whichever clients it comes through. Never of the token. `defaults` are for each subject, where the token limits
 * nobody. Undefined when nothing is limited.
 */
export function accountsOf(
  { tenantId, clientId, subject, limits }: AccessToken,
  defaults: Quota | undefined,
): LimitedAccounts | undefined {
  const isLimited = LEVELS.some((level) => isQuota(limits[level]))
  const quotas: LimitsClaim = isLimited ? limits : { subject: defaults }
  const ids = { subject, client: clientId, tenant: '' }
  const accounts: Account[] = []
  const levels: Level[] = []
  for (const level of LEVELS) {
    const quota = quotas[level]
    if (!isQuota(quota)) continue
    // JSON keeps whatever is in the names apart, and what is no Unicode, too.
    accounts.push({ id: JSON.stringify([tenantId, level, ids[level]]), quota })
    levels.push(level)
  }
  return levels.length === 0 ? undefined : { tenant: tenantId, accounts, levels }
}

const isQuota = (quota: Quota | undefined): quota is Quota =>
  quota !== undefined && LIMIT_NAMES.some((name) => quota[name] !== undefined)
