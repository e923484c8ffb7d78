import type { AdapterPayload } from 'oidc-provider'
import type { IssuableClient } from '../registry/registry.ts'
import { DEVICE_CODE_GRANT } from '../registry/client-metadata.ts'
import type { ClientRecord } from '../registry/client.ts'
import type { TenantLimits } from '../registry/limits.ts'
import { wordsOf } from '../tokens/scope.ts'
import { IDENTITY_SCOPES } from './issued-tokens.ts'

/** Our own members beside those of the RFCs. */
export const OWN_CLIENT_MEMBERS = [
  'tenant_id',
  'limits',
  'resources',
  'registry_version',
  'client_credentials_refresh',
  'refreshes_sign_ins',
]

/**
 * A client in oidc-provider's words. Equal content lets it reuse the client object that it built before, so everything
 * here is a function of what is kept. The secrets stay in the registry: see client-authentication.ts.
 */
export function toClientMetadata({ client, version, tenant }: IssuableClient): AdapterPayload {
  const { name, secrets: _kept, limits: _own, subject_limits: _each, ...members } = client
  const { status: _active, created_at: _made, updated_at: _changed, ...metadata } = members
  return {
    ...metadata,
    ...(name === '' ? {} : { client_name: name }),
    // Never compared with anything, but a client with this method is not valid without one.
    ...(client.token_endpoint_auth_method.startsWith('client_secret_')
      ? { client_secret: 'kept in the registry' }
      : {}),
    ...grantMembersOf(client),
    response_types: client.grant_types.includes('authorization_code') ? ['code'] : [],
    limits: limitsOf(client, tenant.limits),
    registry_version: version,
  }
}

/** A client that people sign in to may always ask who they are, and to stay signed in when it has that grant. */
function grantMembersOf({
  scope,
  grant_types,
  client_credentials_refresh: refreshesItsOwn,
}: ClientRecord) {
  const grants = new Set<string>(grant_types)
  const hasSignIn = grants.has('authorization_code') || grants.has(DEVICE_CODE_GRANT)
  const refreshesSignIns = grants.has('refresh_token')
  if (refreshesItsOwn) grants.add('refresh_token')
  const scopes = [
    ...wordsOf(scope),
    ...(hasSignIn ? IDENTITY_SCOPES : []),
    ...(hasSignIn && refreshesSignIns ? ['offline_access'] : []),
  ]
  return {
    grant_types: [...grants],
    scope: [...new Set(scopes)].join(' '),
    refreshes_sign_ins: refreshesSignIns,
  }
}

/** The `limits` claim of a token that the client gets for itself: its own limits before those of its tenant. */
function limitsOf(client: IssuableClient['client'], tenant: TenantLimits = {}): TenantLimits {
  const limits: TenantLimits = {
    subject: client.subject_limits ?? tenant.subject,
    client: client.limits ?? tenant.client,
    tenant: tenant.tenant,
    weight: tenant.weight,
  }
  return limits
}
