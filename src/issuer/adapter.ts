import type { Adapter } from 'oidc-provider'
import type { Clients } from '../registry/registry.ts'
import { toClientMetadata } from './client-metadata.ts'

/**
 * What oidc-provider reads and writes. Only clients exist: JWT access tokens are never stored, and no other grant is
 * offered that would keep anything.
 */
export function createAdapterFactory(clients: Clients): (model: string) => Adapter {
  return (model) => ({
    async find(id) {
      if (model !== 'Client') return undefined
      const issuable = await clients.findIssuable(id)
      return issuable && toClientMetadata(issuable)
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
