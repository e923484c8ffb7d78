import type { KoaContextWithOIDC } from 'oidc-provider'

const MAX_AGE_SECONDS = 3600

/**
 * Takes out of the metadata (RFC 8414 §2) what oidc-provider always announces and this issuer does not serve, and lets
 * readers keep the document for an hour.
 */
export async function publishOnlyWhatIsServed(
  ctx: KoaContextWithOIDC,
  next: () => Promise<void>,
): Promise<void> {
  await next()
  if (ctx.oidc?.route !== 'discovery' || typeof ctx.body !== 'object' || ctx.body === null) return
  const {
    authorization_endpoint: _none,
    claims_parameter_supported: _noClaims,
    claims_supported: _noClaimsEither,
    code_challenge_methods_supported: _noCode,
    authorization_response_iss_parameter_supported: _noResponse,
    response_modes_supported: _noModes,
    request_uri_parameter_supported: _noRequestUri,
    ...served
  }: Record<string, unknown> = { ...ctx.body }
  ctx.body = {
    ...served,
    grant_types_supported: ['client_credentials'],
    response_types_supported: [],
  }
  ctx.set('cache-control', `public, max-age=${MAX_AGE_SECONDS}`)
}
