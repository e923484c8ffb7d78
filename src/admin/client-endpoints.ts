import { z } from 'zod'
import { AppError } from '../kernel/errors.ts'
import {
  clientSchema,
  clientUpdateSchema,
  newClientSchema,
  type Client,
} from '../registry/client.ts'
import { identifierSchema } from '../registry/identifier.ts'
import type { Registry } from '../registry/registry.ts'
import type { AccessToken } from '../tokens/access-token.ts'
import { requireAtMostOwnPower } from './admin-scopes.ts'
import { requirePowerOver } from './client-power.ts'
import { defineEndpoint, noSuchThing, type Answer, type Endpoint } from './endpoint.ts'
import { requireKnownScopes } from './known-scopes.ts'
import { pageOf, tenantPageQuery } from './listing.ts'
import { makeOnce } from './repeated-requests.ts'

const CLIENTS = '/admin/v1/clients'
const CLIENT = `${CLIENTS}/{client_id}`
const params = z.object({ client_id: identifierSchema })
const ok = { status: 200, body: clientSchema }
const withSecret = clientSchema.extend({
  client_secret: z.string().optional().describe('shown this once'),
})

export type ClientEndpointsOptions = { registry: Registry; scopes: readonly string[] }

export function clientEndpoints({ registry, scopes }: ClientEndpointsOptions): Endpoint[] {
  const { clients } = registry
  const requireMine = requirePowerOver(clients)

  return [
    defineEndpoint({
      method: 'POST',
      path: CLIENTS,
      operation: 'admin.clients.create',
      idMember: 'client_id',
      summary: 'Make a client; its secret is shown this once',
      scope: 'admin:clients',
      takes: { body: newClientSchema },
      answers: { status: 201, body: withSecret },
      isRepeatable: true,
      run: async ({ body, caller, mark }) => {
        requireKnownScopes(body.scope, scopes)
        requireAtMostOwnPower(caller, body.scope)
        return makeOnce(registry, mark, {
          make: async () => {
            const { client, clientSecret } = await clients.create(body, mark)
            const once = clientSecret === undefined ? {} : { client_secret: clientSecret }
            return { ...shown(client), status: 201, once }
          },
          show: async (clientId) => shown(await clients.get(clientId)),
        })
      },
    }),
    defineEndpoint({
      method: 'GET',
      path: CLIENTS,
      operation: 'admin.clients.list',
      summary: 'List the clients, by id',
      scope: 'admin:read',
      takes: { query: z.strictObject(tenantPageQuery) },
      answers: { status: 200, body: pageOf(clientSchema) },
      run: async ({ query: { tenant_id: tenantId, ...query } }) => ({
        status: 200,
        body: await clients.list({ ...query, tenantId }),
      }),
    }),
    defineEndpoint({
      method: 'GET',
      path: CLIENT,
      operation: 'admin.clients.show',
      summary: 'Show a client',
      scope: 'admin:read',
      takes: { params },
      answers: ok,
      run: async ({ params }) => shown(await clients.get(params.client_id)),
    }),
    defineEndpoint({
      method: 'PATCH',
      path: CLIENT,
      operation: 'admin.clients.update',
      summary: 'Change what is named; null takes an optional member away',
      scope: 'admin:clients',
      takes: { params, body: clientUpdateSchema },
      answers: ok,
      run: async ({ params, body, caller, expected }) => {
        requireKnownScopes(body.scope ?? '', scopes)
        requireAtMostOwnPower(caller, body.scope ?? '')
        if (LOCKS.some((member) => body[member] !== undefined)) {
          requireOtherClient(caller, params.client_id)
        }
        await requireMine(caller, params.client_id)
        return shown(await clients.update(params.client_id, body, expected))
      },
    }),
    defineEndpoint({
      method: 'POST',
      path: `${CLIENT}/disable`,
      operation: 'admin.clients.disable',
      summary: 'No tokens for the client from now on; those that it has are revoked',
      scope: 'admin:clients',
      takes: { params },
      answers: ok,
      run: async ({ params, caller, expected }) => {
        requireOtherClient(caller, params.client_id)
        await requireMine(caller, params.client_id)
        return shown(await clients.disable(params.client_id, expected))
      },
    }),
    defineEndpoint({
      method: 'POST',
      path: `${CLIENT}/enable`,
      operation: 'admin.clients.enable',
      summary: 'Tokens again; those from before stay revoked',
      scope: 'admin:clients',
      takes: { params },
      answers: ok,
      run: async ({ params, caller, expected }) => {
        await requireMine(caller, params.client_id)
        return shown(await clients.enable(params.client_id, expected))
      },
    }),
    defineEndpoint({
      method: 'DELETE',
      path: CLIENT,
      operation: 'admin.clients.delete',
      summary: 'Delete a client; its id is never given again',
      scope: 'admin:clients',
      takes: { params },
      answers: { status: 204 },
      run: async ({ params, caller, expected }) => {
        requireOtherClient(caller, params.client_id)
        await requireMine(caller, params.client_id)
        await clients.delete(params.client_id, expected)
        return { status: 204 }
      },
    }),
  ]
}

const shown = (client: Client | undefined): Answer => {
  if (client === undefined) throw noSuchThing()
  return { status: 200, body: client, version: client.version }
}

/** What a client that changes it for itself could lose its own way in by. */
const LOCKS = [
  'scope',
  'resources',
  'grant_types',
  'token_endpoint_auth_method',
  'dpop_bound_access_tokens',
  'tls_client_certificate_bound_access_tokens',
] as const

/** Whoever could lock themselves out would have nobody left to let them in again. */
function requireOtherClient(caller: AccessToken, clientId: string): void {
  if (caller.clientId !== clientId) return
  throw new AppError('in_use', 'It is your own client: you would lock yourself out.')
}
