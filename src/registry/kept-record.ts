import { LRUCache } from 'lru-cache'
import type { z } from 'zod'
import { AppError } from '../kernel/errors.ts'
import { ConflictError, type Change, type Store } from '../store/store.ts'
import type { Expected } from './registry.ts'

/**
 * Everything of the registry is one collection: a client is made together with its place in the tenant's list and only
 * while the tenant is there, which takes one commit. The prefixes of the ids tell the kinds apart.
 */
export const REGISTRY = { name: 'registry', layout: 'together' } as const

/** A kind of object: what it is called, where it is kept, what it looks like there. */
export type Kind<T extends object> = {
  noun: string
  keyOf: (id: string) => string
  schema: z.ZodType<T>
}

/** An object as it is in the store. It is shared: never change it. */
export type Kept<T> = { record: Readonly<T>; version: string }

export type KeptRecords<T extends object> = {
  read: (id: string) => Promise<Kept<T> | undefined>
  /** The same; AppError `not_found` when there is none. */
  require: (id: string) => Promise<Kept<T>>
  /**
   * Reads, lets `decide` say what becomes of it, commits. Repeats that when somebody else was faster, unless a version
   * was expected: that is AppError `version_conflict`, as is another version than the expected one.
   */
  change: (id: string, expected: Expected, decide: Decide<T>) => Promise<Kept<T>>
  /** The same, for what deletes it. */
  remove: (id: string, expected: Expected, decide: DecideRemoval<T>) => Promise<void>
}

/** `also` are further changes of the same commit. */
type Decide<T> = (current: Readonly<T>) => Promise<{ next: T; also?: readonly Change[] }>
type DecideRemoval<T> = (current: Readonly<T>) => Promise<{ also?: readonly Change[] }>

const MAX_ATTEMPTS = 20
const MAX_PARSED = 10_000

/** Reads and changes the objects of one kind. What was parsed is remembered for as long as its version is the same. */
export function createKeptRecords<T extends object>(store: Store, kind: Kind<T>): KeptRecords<T> {
  const parsed = new LRUCache<string, Kept<T>>({ max: MAX_PARSED })

  const read = async (id: string): Promise<Kept<T> | undefined> => {
    const stored = await store.get(REGISTRY, kind.keyOf(id))
    if (stored === undefined) return undefined
    const known = parsed.get(id)
    if (known?.version === stored.version) return known
    const kept = { record: kind.schema.parse(stored.value), version: stored.version }
    parsed.set(id, kept)
    return kept
  }

  const requireKept = async (id: string): Promise<Kept<T>> => {
    const kept = await read(id)
    if (kept === undefined) throw new AppError('not_found', `There is no such ${kind.noun}.`)
    return kept
  }

  const repeat = async <Outcome>(
    id: string,
    expected: Expected,
    plan: (current: Kept<T>) => Promise<{ changes: readonly Change[]; outcome: Outcome }>,
  ): Promise<{ version: string; outcome: Outcome }> => {
    for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt += 1) {
      const current = await requireKept(id)
      if (expected.version !== undefined && expected.version !== current.version) {
        throw versionConflict(kind.noun)
      }
      const { changes, outcome } = await plan(current)
      const result = await commitUnlessOutrun(store, changes)
      if ('version' in result) return { version: result.version, outcome }
      if (expected.version !== undefined) throw versionConflict(kind.noun)
    }
    throw tooMuchContention()
  }

  return {
    read,
    require: requireKept,
    change: async (id, expected, decide) => {
      const { version, outcome } = await repeat(id, expected, async (current) => {
        const { next, also = [] } = await decide(current.record)
        const put = putRecord(kind.keyOf(id), next, current.version)
        return { changes: [put, ...also], outcome: next }
      })
      return { record: outcome, version }
    },
    remove: async (id, expected, decide) => {
      await repeat(id, expected, async ({ record, version }) => {
        const { also = [] } = await decide(record)
        const removal: Change = { kind: 'delete', id: kind.keyOf(id), expect: { version } }
        return { changes: [removal, ...also], outcome: undefined }
      })
    },
  }
}

/** The new version; or the id of a record that was not as the commit expected it, in which case nothing was changed. */
export async function commitUnlessOutrun(
  store: Store,
  changes: readonly Change[],
): Promise<{ version: string } | { conflictingId: string }> {
  try {
    return { version: await store.commit(REGISTRY, changes) }
  } catch (error) {
    if (error instanceof ConflictError) return { conflictingId: error.id }
    throw error
  }
}

/** Puts what stays until it is deleted; without a version it must not be there yet. */
export function putRecord(key: string, value: object, version?: string): Change {
  const expect = version === undefined ? 'absent' : { version }
  return { kind: 'put', id: key, value, expect, lifetime: 'permanent' }
}

function versionConflict(noun: string): AppError {
  return new AppError('version_conflict', `The ${noun} is not as you last saw it.`)
}

export function tooMuchContention(): AppError {
  return new AppError('temporarily_unavailable', 'Too many change this at the same time.', {
    reason: 'contention',
    headers: { 'retry-after': '1' },
  })
}
