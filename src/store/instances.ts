import { z } from 'zod'
import { epochSeconds, type Clock } from '../kernel/clock.ts'
import type { ListedCollection, Store } from './store.ts'

const INSTANCES: ListedCollection = { name: 'instances', layout: 'together' }
/** Three reports may get lost before an instance counts as gone. */
const TTL_SECONDS = 35
const PAGE_SIZE = 500

const checkSchema = z.object({
  name: z.string().max(50),
  status: z.enum(['ok', 'unavailable']),
  detail: z.string().max(1000).optional(),
})

/**
 * What a running program says of itself, so that operators see all of them in one place. Members that are not known are left
 * out: a newer instance may say more.
 */
export const instanceReportSchema = z.object({
  /** The host and the port, as it calls itself. */
  instance_id: z.string().regex(/^[A-Za-z0-9._~-]{1,150}$/),
  role: z.enum(['issuer', 'proxy']),
  version: z.string().max(50),
  /** In seconds since the epoch. */
  started_at: z.int().nonnegative(),
  checks: z.array(checkSchema).max(50),
  /** The model servers of a proxy. */
  upstreams: z.array(z.object({ url: z.string().max(500), usable: z.boolean() })).max(200),
})
export type InstanceReport = z.infer<typeof instanceReportSchema>

export const knownInstanceSchema = instanceReportSchema.extend({
  /** The client that has reported it, or null for one that writes to the store itself. */
  client_id: z.string().nullable(),
  reported_at: z.number(),
})
export type KnownInstance = z.infer<typeof knownInstanceSchema>

/** Remembers the report until the next; without one, the instance is forgotten after 35 s. A client names only its own. */
export async function saveInstance(
  store: Pick<Store, 'commit'>,
  report: InstanceReport,
  { clientId, clock }: { clientId: string | null; clock: Clock },
): Promise<void> {
  const value: KnownInstance = { ...report, client_id: clientId, reported_at: epochSeconds(clock) }
  const id = `${report.role}/${clientId ?? ''}/${report.instance_id}`
  const lifetime = { ttlSeconds: TTL_SECONDS }
  await store.commit(INSTANCES, [{ kind: 'put', id, value, expect: 'any', lifetime }])
}

/** Every instance that has reported within the last 35 s: issuers first, then proxies, by their ids. */
export async function listInstances(store: Pick<Store, 'list'>): Promise<KnownInstance[]> {
  const instances: KnownInstance[] = []
  let after: string | undefined
  do {
    const page = await store.list(INSTANCES, { after, limit: PAGE_SIZE })
    for (const { value } of page.records) {
      const parsed = knownInstanceSchema.safeParse(value)
      if (parsed.success) instances.push(parsed.data)
    }
    after = page.next
  } while (after !== undefined)
  return instances
}
