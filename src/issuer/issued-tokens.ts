import type {
  AccessToken,
  ClientCredentials,
  JWTStructured,
  KoaContextWithOIDC,
} from 'oidc-provider'
import { z } from 'zod'
import { tenantLimitsSchema } from '../registry/limits.ts'
import { userSchema } from '../registry/user.ts'
import { wordsOf } from '../tokens/scope.ts'
import { mayRefreshItsOwn } from './accounts.ts'
import type { Grants } from './grants.ts'

/** They open userinfo and say what it tells. They belong to no resource. */
export const IDENTITY_SCOPES = ['openid', 'profile']

export type IssuingOptions = { grants: Grants; defaultResource: string }
type IssuedToken = AccessToken | ClientCredentials

/** Our own claims: the tenant, and the limits of everybody whom the token speaks for. */
export function claimsOfToken({ oidc }: KoaContextWithOIDC, { client }: IssuedToken) {
  const limits = tenantLimitsSchema.parse(client?.['limits'] ?? {})
  const subject = userOf(oidc)?.limits ?? limits.subject
  return { tenant_id: client?.['tenant_id'], limits: { ...limits, subject } }
}

const timesSchema = z.object({ jti: z.string(), exp: z.int() })

/**
 * The last word on an access token before it is signed: what it may open, and the grant that remembers it, to revoke it
 * when the grant ends. A client that opted in gets a grant, and a refresh token, of its own.
 */
export function finishTokens({ grants, defaultResource }: IssuingOptions) {
  return async function finishToken(
    ctx: KoaContextWithOIDC,
    token: IssuedToken,
    { payload }: JWTStructured,
  ): Promise<void> {
    const grantId = token.kind === 'AccessToken' ? token.grantId : await grantToClient(ctx, token)
    if (token.kind === 'AccessToken') {
      token.scope = scopesOf(ctx, token, defaultResource).join(' ')
      payload['scope'] = token.scope === '' ? undefined : token.scope
    }
    if (grantId !== undefined) await grants.addToken(grantId, timesSchema.parse(payload))
  }
}

/**
 * Those of the resource, as far as the user may have them still; and with no resource asked for the identity as well, so
 * that one token opens the proxy and userinfo.
 */
function scopesOf({ oidc }: KoaContextWithOIDC, token: AccessToken, defaultResource: string) {
  const user = userOf(oidc)
  const mayHave = (scope: string) => user === undefined || wordsOf(user.scope).includes(scope)
  const atResource = wordsOf(token.scope).filter(mayHave)
  if (token.aud !== defaultResource) return atResource
  const { RefreshToken, AuthorizationCode, DeviceCode, Grant } = oidc.entities
  const granted = Grant?.getOIDCScopeFiltered(IDENTITY_SCOPES)
  const narrowed = oidc.params?.['scope']
  const asked =
    typeof narrowed === 'string'
      ? narrowed
      : (AuthorizationCode ?? DeviceCode ?? RefreshToken)?.scope
  return [...wordsOf(granted).filter((scope) => wordsOf(asked).includes(scope)), ...atResource]
}

/** RFC 6749 §4.4.3 says SHOULD NOT; some integrations cannot do without. */
async function grantToClient(
  { oidc }: KoaContextWithOIDC,
  { client, aud, scope }: ClientCredentials,
): Promise<string | undefined> {
  if (client === undefined || !mayRefreshItsOwn(client)) return undefined
  if (typeof aud !== 'string' || scope === undefined) return undefined
  const { provider } = oidc
  const { clientId } = client
  const grant = new provider.Grant({ accountId: clientId, clientId })
  grant.addResourceScope(aud, scope)
  const grantId = await grant.save()
  const refreshToken = new provider.RefreshToken({
    client,
    accountId: clientId,
    grantId,
    gty: 'client_credentials',
    resource: aud,
    scope,
  })
  await refreshToken.save()
  oidc.entity('RefreshToken', refreshToken)
  return grantId
}

/** Hands out the refresh token that came with client credentials. */
export async function addRefreshToken(
  ctx: KoaContextWithOIDC,
  next: () => Promise<void>,
): Promise<void> {
  await next()
  if (ctx.oidc?.route !== 'token' || ctx.oidc.params?.['grant_type'] !== 'client_credentials')
    return
  const token = ctx.oidc.entities.RefreshToken?.jti
  const body: unknown = ctx.body
  if (ctx.status !== 200 || token === undefined || typeof body !== 'object') return
  ctx.body = { ...body, refresh_token: token }
}

const allowedSchema = z.object(userSchema.pick({ scope: true, limits: true }).shape)

/** What the user may have and use; nothing where the client speaks for itself. */
function userOf({ account }: KoaContextWithOIDC['oidc']) {
  return account?.['user'] === undefined ? undefined : allowedSchema.parse(account['user'])
}
