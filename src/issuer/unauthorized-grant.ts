import type { KoaContextWithOIDC } from 'oidc-provider'

/**
 * RFC 6749 §5.2 calls it `unauthorized_client` when a client asks by a grant that it has not registered, oidc-provider an
 * invalid request, in which nothing is malformed.
 */
export async function nameUnauthorizedGrant(
  ctx: KoaContextWithOIDC,
  next: () => Promise<void>,
): Promise<void> {
  await next()
  if (ctx.oidc?.route !== 'token' || ctx.status !== 400) return
  const { client, params } = ctx.oidc
  const grant = params?.['grant_type']
  if (typeof grant !== 'string' || client?.grantTypeAllowed(grant) !== false) return
  const body: unknown = ctx.body
  if (typeof body !== 'object' || body === null || !('error' in body)) return
  if (body.error === 'invalid_request') ctx.body = { ...body, error: 'unauthorized_client' }
}
