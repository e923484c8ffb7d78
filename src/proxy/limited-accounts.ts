import {
  LIMIT_NAMES,
  type Account,
  type Accounts,
  type LimitName,
  type Quota,
} from '../store/counters.ts'
import type { AccessToken } from '../tokens/access-token.ts'
import type { LimitsClaim } from '../tokens/claims.ts'
import { policyOf } from './rate-limit-headers.ts'

/** Whom a limit is about, from the narrowest. */
export const LEVELS = ['subject', 'client', 'tenant'] as const
export type Level = (typeof LEVELS)[number]

/** One limit of one account, which is the one `at` that place. */
export type AccountLimit = {
  readonly at: number
  readonly level: Level
  readonly name: LimitName
  readonly quota: number
  /** As the headers of an answer tell it. */
  readonly policy: string
}

/** The accounts that a caller's requests are counted in, with all their limits, in the order of the accounts. */
export type LimitedAccounts = Accounts & { readonly limits: readonly AccountLimit[] }

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
  const all: AccountLimit[] = []
  for (const level of LEVELS) {
    const quota = quotas[level]
    if (!isQuota(quota)) continue
    for (const name of LIMIT_NAMES) {
      const most = quota[name]
      if (most === undefined) continue
      const policy = policyOf(name, most)
      all.push({ at: accounts.length, level, name, quota: most, policy })
    }
    // JSON keeps whatever is in the names apart, and what is no Unicode, too.
    accounts.push({ id: JSON.stringify([tenantId, level, ids[level]]), quota: inOneShape(quota) })
  }
  return accounts.length === 0 ? undefined : { tenant: tenantId, accounts, limits: all }
}

/** Quotas that all have the same members are the quicker to count with. */
const inOneShape = ({ rpm, concurrency, daily_requests, daily_tokens }: Quota): Quota => ({
  rpm,
  concurrency,
  daily_requests,
  daily_tokens,
})

const isQuota = (quota: Quota | undefined): quota is Quota =>
  quota !== undefined && LIMIT_NAMES.some((name) => quota[name] !== undefined)
