import { createHash, createHmac } from 'node:crypto'
import { z } from 'zod'
import { AppError } from '../kernel/errors.ts'
import type { RequestMark } from '../registry/made-once.ts'
import type { Registry } from '../registry/registry.ts'
import type { Answer } from './endpoint.ts'

export type RepeatableRequest = {
  /** The `Idempotency-Key`; without one the request is simply done. */
  key: string | undefined
  clientId: string
  /** Method and path. */
  target: string
  body: unknown
}

const keySchema = z.string().regex(/^[\x21-\x7E]{1,255}$/)

/** By what a repeat of the request is known again: caller, target and key. AppError `malformed_request` for a bad key. */
export function markOf({
  key,
  clientId,
  target,
  body,
}: RepeatableRequest): RequestMark | undefined {
  if (key === undefined) return undefined
  if (!keySchema.safeParse(key).success) {
    throw new AppError('malformed_request', 'Idempotency-Key: must be 1 to 255 visible characters.')
  }
  return {
    requestId: createHash('sha256')
      .update(JSON.stringify([clientId, target, key]))
      .digest('base64url'),
    // Keyed by what only the caller knows: a body may hold a password, which no plain hash would protect.
    fingerprint: createHmac('sha256', key).update(JSON.stringify(body)).digest('base64url'),
  }
}

export type Making = {
  make: () => Promise<Answer>
  /** What was made, by its id, without what is shown once. */
  show: (id: string) => Promise<Answer>
}

/**
 * Makes an object once for each Idempotency-Key (draft-ietf-httpapi-idempotency-key-header), however the first attempt
 * ended: a repeat within 24 h shows what was made, or makes it. AppError `idempotency_key_reused` for another body.
 */
export async function makeOnce(
  registry: Registry,
  mark: RequestMark | undefined,
  { make, show }: Making,
): Promise<Answer> {
  if (mark === undefined) return make()
  const showMade = async (): Promise<Answer | undefined> => {
    const made = await registry.madeBy(mark)
    return made === undefined ? undefined : { ...(await show(made)), status: 201, isReplay: true }
  }
  const before = await showMade()
  if (before !== undefined) return before
  try {
    return await make()
  } catch (error) {
    const isThere = error instanceof AppError && error.code === 'already_exists'
    // The same request may have been under way, and be what was in the way of this one.
    const meanwhile = isThere ? await showMade() : undefined
    if (meanwhile !== undefined) return meanwhile
    throw error
  }
}
