import type { AdapterPayload } from 'oidc-provider'
import type { IssuableClient } from '../registry/registry.ts'
import type { TenantLimits } from '../registry/limits.ts'

/** Our own members beside those of the RFCs. */
export const OWN_CLIENT_MEMBERS = ['tenant_id', 'limits', 'resources', 'registry_version']

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
    response_types: client.grant_types.includes('authorization_code') ? ['code'] : [],
    limits: limitsOf(client, tenant.limits),
    registry_version: version,
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
