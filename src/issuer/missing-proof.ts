import type { KoaContextWithOIDC } from 'oidc-provider'

/**
 * A client that registered `dpop_bound_access_tokens` and sent no proof lacks a proof, whatever else may be wrong: RFC 9449
 * §5 calls that `invalid_dpop_proof`, oidc-provider an invalid grant, which a client cannot mend.
 */
export async function nameMissingProof(
  ctx: KoaContextWithOIDC,
  next: () => Promise<void>,
): Promise<void> {
  await next()
  if (ctx.oidc?.route !== 'token' || ctx.status !== 400 || ctx.get('dpop') !== '') return
  if (ctx.oidc.client?.dpopBoundAccessTokens !== true) return
  const body: unknown = ctx.body
  if (typeof body !== 'object' || body === null || !('error' in body)) return
  if (body.error !== 'invalid_grant') return
  ctx.body = { error: 'invalid_dpop_proof', error_description: 'a DPoP proof is required' }
}
