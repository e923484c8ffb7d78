import type { Adapter, AdapterPayload } from 'oidc-provider'
import type { ClientRegistry } from '../registry/client-files.ts'
import type { ClientRecord } from '../registry/client.ts'

/**
 * What oidc-provider reads and writes. Only clients exist: JWT access tokens are never stored, and no other grant is
 * offered that would keep anything.
 */
export function createAdapterFactory(clients: ClientRegistry): (model: string) => Adapter {
  return (model) => ({
    async find(id) {
      if (model !== 'Client') return undefined
      const record = await clients.find(id)
      return record && toClientMetadata(record)
    },
    findByUid: async () => undefined,
    findByUserCode: async () => undefined,
    upsert: () => refuse(model),
    consume: () => refuse(model),
    destroy: async () => undefined,
    revokeByGrantId: async () => undefined,
  })
}

async function refuse(model: string): Promise<never> {
  throw new Error(`nothing of the kind ${model} is kept`)
}

/** Equal content lets oidc-provider reuse its client object, so the hashes stand in for the secret (see provider.ts). */
function toClientMetadata(record: ClientRecord): AdapterPayload {
  return {
    client_id: record.client_id,
    client_secret: record.secrets.map(({ hash }) => hash).join(' '),
    grant_types: record.grant_types,
    response_types: [],
    redirect_uris: [],
    scope: record.scope,
    token_endpoint_auth_method: record.token_endpoint_auth_method,
    tenant_id: record.tenant_id,
    ...(record.limits === undefined ? {} : { limits: record.limits }),
  }
}
