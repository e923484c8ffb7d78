import type { Clients } from '../registry/registry.ts'
import type { AccessToken } from '../tokens/access-token.ts'
import { requireAtMostOwnPower } from './admin-scopes.ts'
import { noSuchThing } from './endpoint.ts'

/** Who changes a client, or its secrets, has all the power that it has; `not_found` when there is no such client. */
export function requirePowerOver(clients: Pick<Clients, 'get'>) {
  return async (caller: AccessToken, clientId: string): Promise<void> => {
    const client = await clients.get(clientId)
    if (client === undefined) throw noSuchThing()
    requireAtMostOwnPower(caller, client.scope)
  }
}
