import { DPOP_ALGORITHMS } from '../tokens/dpop-proof.ts'

export const RESOURCE_METADATA_PATH = '/.well-known/oauth-protected-resource'

/** RFC 9728 §2: how a client that knows only this proxy finds the issuer. */
export function resourceMetadata(
  resource: string,
  issuer: string,
  scopes: readonly string[],
): string {
  return JSON.stringify({
    resource,
    authorization_servers: [issuer],
    scopes_supported: scopes,
    bearer_methods_supported: ['header'],
    dpop_signing_alg_values_supported: DPOP_ALGORITHMS,
    tls_client_certificate_bound_access_tokens: true,
    resource_name: 'Gatehouse',
  })
}
