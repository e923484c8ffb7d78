import type { Account, AccountClaims, Client, KoaContextWithOIDC } from 'oidc-provider'
import type { Users } from '../registry/registry.ts'
import type { User } from '../registry/user.ts'
import { isCut } from '../revocations/standing-cuts.ts'
import type { Store } from '../store/store.ts'

/** What an authorization code, device code or refresh token says of itself. */
type Source = { iat?: number | undefined; gty?: string | undefined }

/** Whom a token speaks for: a user, or the client itself where it refreshes what it got for itself. */
export type TokenAccount = Account & { user?: User | undefined }

export type AccountOptions = { users: Pick<Users, 'findIssuable'>; store: Store }

/** The claims of the scope `profile` (OpenID Connect Core §5.4) that we have; `sub` is in every token. */
export const ACCOUNT_CLAIMS = { openid: ['sub'], profile: ['name', 'preferred_username'] }

/**
 * The account that a sign-in, a code or a refresh token leads to; nothing for whoever is disabled, in a suspended tenant
 * or in another one than the client, and for what was issued before everything of the client, user or tenant was revoked.
 */
export function findAccountIn({ users, store }: AccountOptions) {
  return async function findAccount(
    { oidc: { client } }: KoaContextWithOIDC,
    sub: string,
    source?: Source,
  ): Promise<TokenAccount | undefined> {
    if (client === undefined) return undefined
    const tenantId = String(client['tenant_id'])
    const account = await accountOf({ client, sub, tenantId, source }, users)
    if (account === undefined || source?.iat === undefined) return account
    const isVoid = await isCut(store, source.iat, [
      { kind: 'sub', value: sub },
      { kind: 'client', value: client.clientId },
      { kind: 'tenant', value: tenantId },
    ])
    return isVoid ? undefined : account
  }
}

type Wanted = { client: Client; sub: string; tenantId: string; source: Source | undefined }

async function accountOf(
  { client, sub, tenantId, source }: Wanted,
  users: AccountOptions['users'],
): Promise<TokenAccount | undefined> {
  if (sub === client.clientId) {
    const isItsOwn = source?.gty?.startsWith('client_credentials') === true
    return isItsOwn && mayRefreshItsOwn(client)
      ? { accountId: sub, claims: () => ({ sub }) }
      : undefined
  }
  const user = await users.findIssuable(sub)
  if (user?.tenant_id !== tenantId) return undefined
  return { accountId: sub, user, claims: () => claimsOf(user) }
}

/** The opt-in for clients that need refresh tokens without a user, against RFC 6749 §4.4.3. */
export function mayRefreshItsOwn(client: Client): boolean {
  return (
    client['client_credentials_refresh'] === true && client.grantTypeAllowed('client_credentials')
  )
}

function claimsOf({ sub, username, name }: User): AccountClaims {
  return { sub, preferred_username: username, ...(name === '' ? {} : { name }) }
}
