import { randomBytes } from 'node:crypto'
import { z } from 'zod'
import type { Log } from '../kernel/log.ts'
import { ConflictError, type Store } from '../store/store.ts'

const COLLECTION = { name: 'dpop-nonce-key', layout: 'scattered' } as const
const ID = 'proxies'
const TTL_SECONDS = 86_400
const SYNC_INTERVAL_MS = 60_000
const KEY_BYTES = 32

const keySchema = z.base64url().transform((text) => Buffer.from(text, 'base64url'))

export type SharedNonceKey = { current: () => Buffer; close: () => void }

/**
 * The key of DPoP nonces that all proxies of one store have in common, so that each accepts those of the others. Made by
 * the first, renewed while any of them runs. While the store is away, each goes on with the key that it has.
 */
export async function shareNonceKey(store: Store, log: Log): Promise<SharedNonceKey> {
  let key = randomBytes(KEY_BYTES)

  async function adoptOrOffer(): Promise<void> {
    const kept = await store.get(COLLECTION, ID)
    if (kept !== undefined) key = keySchema.parse(kept.value)
    const expect = kept === undefined ? 'absent' : { version: kept.version }
    const value = key.toString('base64url')
    const lifetime = { ttlSeconds: TTL_SECONDS }
    await store.commit(COLLECTION, [{ kind: 'put', id: ID, value, expect, lifetime }])
  }

  async function sync(): Promise<void> {
    try {
      await adoptOrOffer().catch((error: unknown) => {
        // Another was faster: what it wrote counts.
        if (error instanceof ConflictError) return adoptOrOffer()
        throw error
      })
    } catch (error) {
      if (error instanceof ConflictError) return
      log.warn({ event: 'dpop.nonce_key', err: error }, 'the key of DPoP nonces is not shared')
    }
  }

  await sync()
  const timer = setInterval(() => void sync(), SYNC_INTERVAL_MS).unref()
  return { current: () => key, close: () => clearInterval(timer) }
}
