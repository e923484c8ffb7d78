import type { AdapterPayload } from 'oidc-provider'
import { z } from 'zod'
import { epochSeconds, type Clock } from '../kernel/clock.ts'
import { isObject } from '../kernel/is-object.ts'
import { ConflictError, type Expectation, type Store } from '../store/store.ts'

/** What oidc-provider says about one session, code or token; `jti` and what else names it is left out. */
const payloadSchema = z.custom<AdapterPayload>(isObject)

/** Times are in seconds since the epoch; `consumed_at` says that it was used up then. */
const recordSchema = z.strictObject({
  payload: payloadSchema,
  expires_at: z.int(),
  consumed_at: z.int().optional(),
})
export type ExpiringRecord = z.infer<typeof recordSchema>
export type ReadRecord = ExpiringRecord & { version: string }

export type ExpiringRecords = {
  read: (id: string) => Promise<ReadRecord | undefined>
  /** False, having changed nothing, when the record was not as expected. */
  write: (id: string, record: ExpiringRecord, expect: Expectation) => Promise<boolean>
  remove: (id: string) => Promise<void>
}

/** The records of one model, each kept for as long as it lives and spread over all nodes of a cluster. */
export function createExpiringRecords(store: Store, model: string, clock: Clock): ExpiringRecords {
  const collection = { name: `oidc/${model}`, layout: 'scattered' } as const
  return {
    async read(id) {
      const stored = await store.get(collection, id)
      return stored && { ...recordSchema.parse(stored.value), version: stored.version }
    },

    async write(id, record, expect) {
      const ttlSeconds = Math.max(1, record.expires_at - epochSeconds(clock))
      const { payload, expires_at, consumed_at } = record
      const value = { payload, expires_at, consumed_at }
      return isCommitted(
        store.commit(collection, [{ kind: 'put', id, value, expect, lifetime: { ttlSeconds } }]),
      )
    },

    async remove(id) {
      await store.commit(collection, [{ kind: 'delete', id, expect: 'any' }])
    },
  }
}

/** Whether the commit took place, or somebody else was there before. */
export async function isCommitted(commit: Promise<unknown>): Promise<boolean> {
  try {
    await commit
    return true
  } catch (error) {
    if (error instanceof ConflictError) return false
    throw error
  }
}
