import type { KoaContextWithOIDC } from 'oidc-provider'

const MAX_AGE_SECONDS = 3600

/** Members that oidc-provider always announces and that mean nothing without a sign-in. */
const NOT_SERVED = new Set([
  'authorization_endpoint',
  'authorization_response_iss_parameter_supported',
  'claims_parameter_supported',
  'claims_supported',
  'code_challenge_methods_supported',
  'device_authorization_endpoint',
  'pushed_authorization_request_endpoint',
  'request_uri_parameter_supported',
  'response_modes_supported',
])

const SIGN_IN_SCOPES = new Set<unknown>(['openid', 'profile', 'offline_access'])

/** Publishes metadata (RFC 8414 §2) of what this issuer serves and nothing else; readers may keep it for an hour. */
export async function publishOnlyWhatIsServed(
  ctx: KoaContextWithOIDC,
  next: () => Promise<void>,
): Promise<void> {
  await next()
  if (ctx.oidc?.route !== 'discovery' || typeof ctx.body !== 'object' || ctx.body === null) return
  const members: [string, unknown][] = Object.entries(ctx.body)
  const served = Object.fromEntries(members.filter(([name]) => !NOT_SERVED.has(name)))
  const scopes = Array.isArray(served['scopes_supported']) ? served['scopes_supported'] : []
  ctx.body = {
    ...served,
    scopes_supported: scopes.filter((scope) => !SIGN_IN_SCOPES.has(scope)),
    grant_types_supported: ['client_credentials', 'refresh_token'],
    response_types_supported: [],
  }
  ctx.set('cache-control', `public, max-age=${MAX_AGE_SECONDS}`)
}
