import { z } from 'zod'
import type { Ring } from '../keys/ring.ts'
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
})
export type ServerStatus = z.infer<typeof statusSchema>

export type StatusOptions = { issuer: string; store: Store; ring: () => Ring }

/** How the server is, for those who run it. */
export function statusEndpoint({ issuer, store, ring }: StatusOptions): Endpoint {
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
      }
      return { status: 200, body }
    },
  })
}
