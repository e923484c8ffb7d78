import { setImmediate } from 'node:timers/promises'
import { z } from 'zod'
import type { Store } from '../store/store.ts'
import { CLIENT_PREFIX } from './client-keeping.ts'
import { REGISTRY } from './kept-record.ts'
import type { SecretUses } from './secret-uses.ts'

export const SECONDS_PER_DAY = 86_400
/** How far ahead is looked. */
export const LONGEST_NOTICE_SECONDS = 30 * SECONDS_PER_DAY
/** Jobs that run once a day count as using their secret. */
const IN_USE_SECONDS = SECONDS_PER_DAY
const PAGE_SIZE = 500

/** Of a client only what matters here, so that a look at all of them is cheap. */
const clientSchema = z.object({
  client_id: z.string(),
  status: z.string(),
  secrets: z.array(z.object({ secret_id: z.string(), expires_at: z.int().optional() })),
})
type Secret = z.infer<typeof clientSchema>['secrets'][number]

/** A secret whose end somebody will notice. `expiresAt` is in seconds since the epoch. */
export type ExpiringSecret = {
  clientId: string
  secretId: string
  expiresAt: number
  /** Whether no other secret of the client outlives it: then it gets no token any more. */
  isLast: boolean
}

/**
 * The secrets of active clients that end within 30 days and that somebody relies on: the client's last one, or one that was
 * used within the last day although there is another. The soonest first.
 */
export async function findExpiringSecrets(
  store: Pick<Store, 'list'>,
  { lastUse }: Pick<SecretUses, 'lastUse'>,
  now: number,
): Promise<ExpiringSecret[]> {
  const found: ExpiringSecret[] = []
  let after: string | undefined
  do {
    const page = await store.list(REGISTRY, { prefix: CLIENT_PREFIX, after, limit: PAGE_SIZE })
    for (const { value } of page.records) {
      const client = clientSchema.parse(value)
      if (client.status !== 'active') continue
      for (const secret of client.secrets) {
        const expiresAt = secret.expires_at ?? Infinity
        if (expiresAt <= now || expiresAt > now + LONGEST_NOTICE_SECONDS) continue
        const { client_id: clientId } = client
        const isLast = !client.secrets.some((other) => outlives(other, secret))
        const usedAt = isLast ? undefined : await lastUse(clientId, secret.secret_id)
        const isUsed = usedAt !== undefined && now - usedAt <= IN_USE_SECONDS
        if (isLast || isUsed) {
          found.push({ clientId, secretId: secret.secret_id, expiresAt, isLast })
        }
      }
    }
    after = page.next
    // A hundred thousand clients take a while, and nobody is to wait for them.
    await setImmediate()
  } while (after !== undefined)
  return found.toSorted((a, b) => a.expiresAt - b.expiresAt)
}

const outlives = (other: Secret, secret: Secret): boolean =>
  (other.expires_at ?? Infinity) > (secret.expires_at ?? Infinity)
