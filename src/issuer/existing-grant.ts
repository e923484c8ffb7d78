import type { Grant, KoaContextWithOIDC } from 'oidc-provider'
import type { Consents } from './consents.ts'

/**
 * The grant that an authorization goes on with: the one just given, that of this session and client, or a new one of all
 * that the user allowed the client before. A grant that was revoked is none.
 */
export function existingGrant(consents: Consents) {
  return async function loadExistingGrant({
    oidc,
  }: KoaContextWithOIDC): Promise<Grant | undefined> {
    const { provider, client, account, session, result } = oidc
    if (client === undefined || account === undefined) return undefined
    const grantId = result?.consent?.grantId ?? session?.grantIdFor(client.clientId)
    const current = grantId === undefined ? undefined : await provider.Grant.find(grantId)
    if (current?.accountId === account.accountId) return current
    const consent = await consents.recall(account.accountId, client.clientId)
    if (consent === undefined) return undefined
    const grant = new provider.Grant({ accountId: account.accountId, clientId: client.clientId })
    if (consent.scopes.length > 0) grant.addOIDCScope(consent.scopes)
    if (consent.claims.length > 0) grant.addOIDCClaims(consent.claims)
    for (const [resource, scopes] of Object.entries(consent.resources)) {
      grant.addResourceScope(resource, scopes)
    }
    await grant.save()
    return grant
  }
}
