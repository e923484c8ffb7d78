import { z } from 'zod'
import type { Ring } from '../keys/ring.ts'
import type { SecretWatch } from '../registry/watch-secrets.ts'
import { knownInstanceSchema, listInstances } from '../store/instances.ts'
import type { Store } from '../store/store.ts'
import { defineEndpoint, type Endpoint } from './endpoint.ts'

const statusSchema = z.object({
  issuer: z.string(),
  store: z.object({
    backend: z.enum(['sqlite', 'redis']),
    version: z.string(),
    latency_ms: z.number(),
    size_bytes: z.number(),
    warnings: z.array(z.string()).describe('what an operator should change'),
  }),
  keys: z.array(z.object({ kid: z.string(), state: z.enum(['next', 'active', 'retiring']) })),
  expiring_secrets: z
    .array(
      z.object({
        client_id: z.string(),
        secret_id: z.string(),
        expires_at: z.number().describe('seconds since the epoch'),
        is_last: z.boolean().describe('the client has none that outlives it'),
      }),
    )
    .describe('that somebody relies on, within 30 days; at most 100, the soonest first'),
  instances: z
    .array(knownInstanceSchema.extend({ ready: z.boolean() }))
    .describe('every issuer and proxy that has reported within the last 35 s'),
})
export type ServerStatus = z.infer<typeof statusSchema>

export type StatusOptions = {
  issuer: string
  store: Store
  ring: () => Ring
  expiring: SecretWatch['expiring']
}

const MAX_SECRETS = 100

/** How the server is, for those who run it. */
export function statusEndpoint({ issuer, store, ring, expiring }: StatusOptions): Endpoint {
  return defineEndpoint({
    method: 'GET',
    path: '/admin/v1/status',
    operation: 'admin.status.show',
    summary: 'How the server is',
    scope: 'admin:read',
    takes: {},
    answers: { status: 200, body: statusSchema },
    run: async () => {
      const { backend, version, latencyMs, sizeBytes, warnings } = await store.status()
      const body: ServerStatus = {
        issuer,
        store: {
          backend,
          version,
          latency_ms: latencyMs,
          size_bytes: sizeBytes,
          warnings: [...warnings],
        },
        keys: ring().keys.map(({ kid, state }) => ({ kid, state })),
        expiring_secrets: expiring()
          .slice(0, MAX_SECRETS)
          .map(({ clientId, secretId, expiresAt, isLast }) => ({
            client_id: clientId,
            secret_id: secretId,
            expires_at: expiresAt,
            is_last: isLast,
          })),
        instances: (await listInstances(store)).map((instance) => ({
          ...instance,
          ready: instance.checks.every(({ status }) => status === 'ok'),
        })),
      }
      return { status: 200, body }
    },
  })
}
