import { createHash, createHmac } from 'node:crypto'
import { z } from 'zod'
import { AppError } from '../kernel/errors.ts'
import { ConflictError, type Lifetime, type Store } from '../store/store.ts'
import type { Answer } from './endpoint.ts'

export type RepeatableRequest = {
  /** The `Idempotency-Key`; without one the request is simply done. */
  key: string | undefined
  clientId: string
  /** Method and path. */
  target: string
  body: unknown
}
export type OnceOnly = (
  request: RepeatableRequest,
  work: () => Promise<Answer>,
) => Promise<Answer & { isReplay?: true }>

const REQUESTS = { name: 'admin-requests', layout: 'scattered' } as const
const KEPT: Lifetime = { ttlSeconds: 24 * 3600 }
/** For as long may a request run before a crash is assumed. */
const UNDER_WAY: Lifetime = { ttlSeconds: 60 }

const keySchema = z.string().regex(/^[\x21-\x7E]{1,255}$/)
const keptSchema = z.object({
  fingerprint: z.string(),
  answer: z
    .object({ status: z.int(), body: z.looseObject({}).optional(), version: z.string().optional() })
    .optional(),
})

/**
 * Does a request once for each caller, target and Idempotency-Key (draft-ietf-httpapi-idempotency-key-header): a repeat
 * within 24 h gets the same answer without what is shown once. AppError `idempotency_key_reused` for another body,
 * `request_in_progress` while the first is under way. What was refused may be tried again.
 */
export function createOnceOnly(store: Store): OnceOnly {
  return async function doOnce(request, work) {
    if (request.key === undefined) return work()
    const key = requireKey(request.key)
    const id = digest([request.clientId, request.target, key])
    // Keyed by what only the caller knows: a body may hold a password, which no plain hash would protect.
    const fingerprint = createHmac('sha256', key).update(JSON.stringify(request.body)).digest('hex')

    const begun = await begin(store, id, fingerprint)
    if ('replay' in begun) return { ...begun.replay, isReplay: true }
    try {
      const answer = await work()
      await finish(store, { id, fingerprint, answer, version: begun.claim })
      return answer
    } catch (error) {
      await store.commit(REQUESTS, [{ kind: 'delete', id, expect: 'any' }]).catch(() => undefined)
      throw error
    }
  }
}

function requireKey(key: string): string {
  if (keySchema.safeParse(key).success) return key
  throw new AppError('malformed_request', 'Idempotency-Key: must be 1 to 255 visible characters.')
}

/** The version of the claim when the request is ours to do, else the answer of the one that did it. */
async function begin(
  store: Store,
  id: string,
  fingerprint: string,
): Promise<{ claim: string } | { replay: Answer }> {
  try {
    const value = { fingerprint }
    const claim = { kind: 'put', id, value, expect: 'absent', lifetime: UNDER_WAY } as const
    return { claim: await store.commit(REQUESTS, [claim]) }
  } catch (error) {
    if (!(error instanceof ConflictError)) throw error
  }
  const kept = keptSchema.safeParse((await store.get(REQUESTS, id))?.value).data
  if (kept !== undefined && kept.fingerprint !== fingerprint) {
    throw new AppError('idempotency_key_reused', 'The Idempotency-Key came with another body.')
  }
  if (kept?.answer === undefined) {
    throw new AppError('request_in_progress', 'The first request with this key is not done yet.', {
      headers: { 'retry-after': '1' },
    })
  }
  const { status, body, version } = kept.answer
  return {
    replay: { status, ...(body && { body }), ...(version === undefined ? {} : { version }) },
  }
}

async function finish(store: Store, done: Done): Promise<void> {
  const { once: _shownOnce, ...answer } = done.answer
  const value = { fingerprint: done.fingerprint, answer }
  const { id, version } = done
  try {
    await store.commit(REQUESTS, [{ kind: 'put', id, value, expect: { version }, lifetime: KEPT }])
  } catch {
    // It is done, and the caller must get the secret; only a repeat within the minute will be told to wait.
  }
}
type Done = { id: string; fingerprint: string; answer: Answer; version: string }

const digest = (parts: readonly string[]): string =>
  createHash('sha256').update(JSON.stringify(parts)).digest('base64url')
