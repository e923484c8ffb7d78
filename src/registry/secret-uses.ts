import { LRUCache } from 'lru-cache'
import { z } from 'zod'
import { epochSeconds, type Clock } from '../kernel/clock.ts'
import type { Change, Store } from '../store/store.ts'
import { REGISTRY } from './kept-record.ts'

export type SecretUses = {
  /** Costs nothing but memory; it is written down with the next `save`. */
  note: (clientId: string, secretId: string) => void
  save: () => Promise<void>
  /** Seconds since the epoch, up to a minute late; undefined when it was not used in over a year. */
  lastUse: (clientId: string, secretId: string) => Promise<number | undefined>
}

export const USED_PREFIX = 'used/'
export const useSchema = z.strictObject({ last_used_at: z.int() })
/** Nothing is kept for ever of a secret that was removed while its last use was being written. */
const KEPT_SECONDS = 400 * 24 * 3600
const WRITE_INTERVAL_SECONDS = 60
const BATCH = 200
const MAX_REMEMBERED = 100_000

/** When each secret was used last: a record of its own, so that using a client does not change its version. */
export function createSecretUses(store: Store, clock: Clock): SecretUses {
  const written = new LRUCache<string, number>({ max: MAX_REMEMBERED })
  const pending = new LRUCache<string, number>({ max: MAX_REMEMBERED })

  return {
    note: (clientId, secretId) => {
      const key = keyOf(clientId, secretId)
      const now = epochSeconds(clock)
      if (now - (written.get(key) ?? 0) >= WRITE_INTERVAL_SECONDS) pending.set(key, now)
    },

    save: async () => {
      while (pending.size > 0) {
        const batch = [...pending.entries()].slice(0, BATCH)
        await store.commit(REGISTRY, batch.map(toChange))
        for (const [key, usedAt] of batch) {
          written.set(key, usedAt)
          if (pending.get(key) === usedAt) pending.delete(key)
        }
      }
    },

    lastUse: async (clientId, secretId) => {
      const key = keyOf(clientId, secretId)
      const stored = await store.get(REGISTRY, key)
      const saved = stored === undefined ? 0 : useSchema.parse(stored.value).last_used_at
      return Math.max(saved, pending.get(key) ?? 0) || undefined
    },
  }
}

const keyOf = (clientId: string, secretId: string) => `${USED_PREFIX}${clientId}/${secretId}`

function toChange([id, usedAt]: [string, number]): Change {
  const value = { last_used_at: usedAt }
  return { kind: 'put', id, value, expect: 'any', lifetime: { ttlSeconds: KEPT_SECONDS } }
}

/** Writes down again, in another store, what `save` once wrote. */
export const putUse = (clientId: string, secretId: string, usedAt: number): Change =>
  toChange([keyOf(clientId, secretId), usedAt])
