import { z } from 'zod'
import { newSecretSchema, secretSchema } from '../registry/client-secret.ts'
import { identifierSchema } from '../registry/identifier.ts'
import type { Registry } from '../registry/registry.ts'
import { requirePowerOver } from './client-power.ts'
import { defineEndpoint, noSuchThing, type Endpoint } from './endpoint.ts'
import { makeOnce } from './repeated-requests.ts'

const SECRETS = '/admin/v1/clients/{client_id}/secrets'
const params = z.object({ client_id: identifierSchema })

export function secretEndpoints(registry: Registry): Endpoint[] {
  const { clients } = registry
  const requireMine = requirePowerOver(clients)

  return [
    defineEndpoint({
      method: 'POST',
      path: SECRETS,
      operation: 'admin.secrets.create',
      summary: 'Give the client another secret, shown this once; the others go on working',
      scope: 'admin:clients',
      takes: { params, body: newSecretSchema },
      answers: { status: 201, body: secretSchema.extend({ client_secret: z.string().optional() }) },
      isRepeatable: true,
      run: async ({ params: { client_id: clientId }, body, caller, expected, mark }) => {
        await requireMine(caller, clientId)
        return makeOnce(registry, mark, {
          make: async () => {
            const added = await clients.addSecret(clientId, body, { ...expected, mark })
            return { status: 201, body: added.secret, once: { client_secret: added.clientSecret } }
          },
          show: async (secretId) => {
            const secrets = await clients.listSecrets(clientId)
            const body = secrets.find(({ secret_id: id }) => id === secretId)
            if (body === undefined) throw noSuchThing()
            return { status: 201, body }
          },
        })
      },
    }),
    defineEndpoint({
      method: 'GET',
      path: SECRETS,
      operation: 'admin.secrets.list',
      summary: 'List the secrets of the client, the oldest first, without the secrets themselves',
      scope: 'admin:read',
      takes: { params },
      answers: { status: 200, body: z.object({ items: z.array(secretSchema) }) },
      run: async ({ params }) => ({
        status: 200,
        body: { items: await clients.listSecrets(params.client_id) },
      }),
    }),
    defineEndpoint({
      method: 'DELETE',
      path: `${SECRETS}/{secret_id}`,
      operation: 'admin.secrets.delete',
      summary: 'Remove a secret; one that was used within the last day only with force=true',
      scope: 'admin:clients',
      takes: {
        params: params.extend({ secret_id: z.uuid() }),
        query: z.strictObject({ force: z.enum(['true', 'false']).optional() }),
      },
      answers: { status: 204 },
      run: async ({ params, query, caller, expected }) => {
        await requireMine(caller, params.client_id)
        const isForced = query.force === 'true'
        await clients.removeSecret(params.client_id, params.secret_id, { ...expected, isForced })
        return { status: 204 }
      },
    }),
  ]
}
