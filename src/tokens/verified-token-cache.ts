import { hash } from 'node:crypto'
import { LRUCache } from 'lru-cache'
import { epochSeconds, type Clock } from '../kernel/clock.ts'
import type { AccessToken } from './access-token.ts'

const MAX_TOKENS = 10_000

export type VerifiedTokenCache<Entry extends { token: AccessToken }> = {
  get: (presented: string) => Entry | undefined
  set: (presented: string, entry: Entry) => void
  statistics: () => { hits: number; misses: number; entries: number }
}

/**
 * Remembers verified tokens by a SHA-256 of the whole `Authorization` that they were presented by, so that a heap dump shows no token
 * and another spelling of one is another entry. Bounded, and an entry is never given out from its `exp` on.
 */
export function createVerifiedTokenCache<Entry extends { token: AccessToken }>(
  clock: Clock,
): VerifiedTokenCache<Entry> {
  const entries = new LRUCache<string, Entry>({ max: MAX_TOKENS })
  let hits = 0
  let misses = 0
  return {
    get(presented) {
      const key = digest(presented)
      const entry = entries.get(key)
      if (entry !== undefined && epochSeconds(clock) < entry.token.expiresAt) {
        hits += 1
        return entry
      }
      misses += 1
      if (entry !== undefined) entries.delete(key)
      return undefined
    },
    set(presented, entry) {
      entries.set(digest(presented), entry)
    },
    statistics: () => ({ hits, misses, entries: entries.size }),
  }
}

const digest = (presented: string): string => hash('sha256', presented, 'base64')
