import { hash } from 'node:crypto'
import { LRUCache } from 'lru-cache'
import { epochSeconds, type Clock } from '../kernel/clock.ts'
import type { AccessToken } from './access-token.ts'

const MAX_TOKENS = 10_000

/**
 * Remembers verified tokens by a SHA-256 of their whole text, so that a heap dump shows no token and another spelling of
 * one is another entry. Bounded, and an entry is never given out from its `exp` on.
 */
export function createVerifiedTokenCache<Entry extends { token: AccessToken }>(clock: Clock) {
  const entries = new LRUCache<string, Entry>({ max: MAX_TOKENS })
  return {
    get(rawToken: string): Entry | undefined {
      const key = digest(rawToken)
      const entry = entries.get(key)
      if (entry === undefined || epochSeconds(clock) < entry.token.expiresAt) return entry
      entries.delete(key)
      return undefined
    },
    set(rawToken: string, entry: Entry): void {
      entries.set(digest(rawToken), entry)
    },
  }
}

const digest = (rawToken: string): string => hash('sha256', rawToken, 'base64')
