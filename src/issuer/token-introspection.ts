import type { Client } from 'oidc-provider'
import type { AccessToken } from '../tokens/access-token.ts'
import type { Resources } from './resources.ts'

/** Exactly this for whatever is not alive, or not the caller's to know of (RFC 7662 §2.2). */
const INACTIVE = { active: false } as const

/**
 * What a client may know of an access token (RFC 7662 §2.2): all that it says, for the client that it was issued to and
 * for the introspectors of the resources that it is for.
 */
export function introspectionOf(
  token: AccessToken | undefined,
  { clientId }: Client,
  { issuer, resources, now }: { issuer: string; resources: Resources; now: number },
): object {
  // To the second: the skew that verifiers allow for is theirs.
  if (token === undefined || now >= token.expiresAt) return INACTIVE
  const introspectors = token.audiences.flatMap((audience) =>
    Object.hasOwn(resources, audience) ? (resources[audience]?.introspectors ?? []) : [],
  )
  if (clientId !== token.clientId && !introspectors.includes(clientId)) return INACTIVE
  return {
    active: true,
    iss: issuer,
    aud: token.audiences.length === 1 ? token.audiences[0] : token.audiences,
    sub: token.subject,
    client_id: token.clientId,
    iat: token.issuedAt,
    exp: token.expiresAt,
    jti: token.jti,
    scope: token.scopes.join(' '),
    token_type: token.confirmation?.jkt === undefined ? 'Bearer' : 'DPoP',
    tenant_id: token.tenantId,
    limits: token.limits,
    ...(token.confirmation && { cnf: token.confirmation }),
  }
}
