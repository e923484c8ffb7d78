import { DPOP_ALGORITHMS } from '../tokens/dpop-proof.ts'

export const RESOURCE_METADATA_PATH = '/.well-known/oauth-protected-resource'

export type ResourceFacts = {
  /** Our identifier, and who issues tokens for it. */
  url: string
  issuer: string
  scopes: readonly string[]
  /** Whether a client certificate can reach us, so that tokens may be bound to one. */
  seesCertificates: boolean
}

/** RFC 9728 §2: how a client that knows only this proxy finds the issuer. */
export function resourceMetadata(facts: ResourceFacts): string {
  return JSON.stringify({
    resource: facts.url,
    authorization_servers: [facts.issuer],
    scopes_supported: facts.scopes,
    bearer_methods_supported: ['header'],
    dpop_signing_alg_values_supported: DPOP_ALGORITHMS,
    tls_client_certificate_bound_access_tokens: facts.seesCertificates,
    resource_name: 'Gatehouse',
  })
}
