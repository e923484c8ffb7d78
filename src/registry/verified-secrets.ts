import { LRUCache } from 'lru-cache'
import { createHmac, randomBytes } from 'node:crypto'
import type { Clock } from '../kernel/clock.ts'

/** Whose secret it is, as of which version of the client: another version is another key, so a change forgets. */
export type SecretInQuestion = { clientId: string; version: string; secret: string }

export type VerifiedSecrets = {
  /** Under which the secret is remembered: an HMAC with a key that only this process has. */
  keyOf: (question: SecretInQuestion) => string
  /** The id of the secret; undefined when it was not verified within the last minute. */
  find: (key: string) => string | undefined
  /** For a minute, or until the secret expires when that is sooner (seconds since the epoch). */
  remember: (key: string, secretId: string, expiresAt: number | undefined) => void
}

const REMEMBERED_MS = 60_000
const MAX_REMEMBERED = 10_000

export function createVerifiedSecrets(clock: Clock): VerifiedSecrets {
  const processKey = randomBytes(32)
  const verified = new LRUCache<string, { secretId: string; untilMs: number }>({
    max: MAX_REMEMBERED,
  })
  return {
    keyOf: ({ clientId, version, secret }) =>
      createHmac('sha256', processKey)
        .update(JSON.stringify([clientId, version, secret]))
        .digest('base64url'),
    find: (key) => {
      const known = verified.get(key)
      return known !== undefined && clock() < known.untilMs ? known.secretId : undefined
    },
    remember: (key, secretId, expiresAt = Infinity) => {
      const untilMs = Math.min(clock() + REMEMBERED_MS, expiresAt * 1000)
      verified.set(key, { secretId, untilMs })
    },
  }
}
