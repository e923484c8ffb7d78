import { z } from 'zod'
import { AppError } from '../kernel/errors.ts'
import { ConflictError, type Change, type Store } from '../store/store.ts'
import { REGISTRY } from './kept-record.ts'

/** A request to make something, which may come again: whose and which it is, and what it asks for; both as digests. */
export type RequestMark = { requestId: string; fingerprint: string }

const KEPT = { ttlSeconds: 24 * 3600 }
const markSchema = z.object({ fingerprint: z.string(), made: z.string() })
const keyOf = ({ requestId }: RequestMark) => `request/${requestId}`

/** Goes into the commit that makes the object `made`: so it is there if, and only if, the object was made. */
export function putMark(mark: RequestMark | undefined, made: string): Change[] {
  if (mark === undefined) return []
  const value = markSchema.parse({ fingerprint: mark.fingerprint, made })
  return [{ kind: 'put', id: keyOf(mark), value, expect: 'absent', lifetime: KEPT }]
}

/** For what is made elsewhere. Of two at the same time the first is remembered: they asked for the same. */
export async function markMade(store: Store, mark: RequestMark, made: string): Promise<void> {
  await store.commit(REGISTRY, putMark(mark, made)).catch((error: unknown) => {
    if (!(error instanceof ConflictError)) throw error
  })
}

/**
 * The id of what that request made within the last day. AppError `idempotency_key_reused` when it asked for something
 * else then.
 */
export async function madeBy(store: Store, mark: RequestMark): Promise<string | undefined> {
  const kept = await store.get(REGISTRY, keyOf(mark))
  if (kept === undefined) return undefined
  const { fingerprint, made } = markSchema.parse(kept.value)
  if (fingerprint === mark.fingerprint) return made
  throw new AppError('idempotency_key_reused', 'The Idempotency-Key came with another body.')
}
