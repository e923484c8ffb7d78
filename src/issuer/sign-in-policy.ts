import type { interactionPolicy, KoaContextWithOIDC } from 'oidc-provider'
import { isCut } from '../revocations/standing-cuts.ts'
import type { Store } from '../store/store.ts'
import { refusing } from './client-authentication.ts'
import type { OidcProvider } from './oidc-provider.ts'

/** When to ask for the password: as oidc-provider does, and whenever the sign-in before does not count here any more. */
export function signInPolicy(store: Store, oidc: OidcProvider): interactionPolicy.DefaultPolicy {
  const { base, Check } = oidc.interactionPolicy
  const policy = base()
  policy.get('login')?.checks.add(
    new Check(
      'sign_in_void',
      'the sign-in does not count here any more',
      // To a client that asked with `prompt=none` (OpenID Connect Core §3.1.2.6).
      'login_required',
      refusing((ctx) => isVoid(ctx, store), oidc),
    ),
  )
  return policy
}

/** The user is disabled or of another tenant, or whatever the user had was revoked since, as by a new password. */
async function isVoid({ oidc }: KoaContextWithOIDC, store: Store): Promise<boolean> {
  const { accountId, loginTs = 0 } = oidc.session ?? {}
  if (accountId === undefined) return false
  if (oidc.account === undefined) return true
  if (oidc.result?.login !== undefined) return false
  return isCut(store, loginTs, [
    { kind: 'sub', value: accountId },
    { kind: 'tenant', value: String(oidc.client?.['tenant_id']) },
  ])
}
