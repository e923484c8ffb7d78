import { randomBytes } from 'node:crypto'
import type { Change, Collection, Lifetime } from './store.ts'

const COLLECTION_NAME = /^[A-Za-z0-9._~/-]{1,200}$/

/** Length of every version, in characters. */
export const VERSION_LENGTH = 22

/** A version that was never given before: 128 random bits. */
export const createVersion = (): string => randomBytes(16).toString('base64url')

/** A change as both backends store it: the value as JSON text, the lifetime as milliseconds or undefined for ever. */
export type PreparedChange = Change & { json: string; ttlMs: number | undefined }

/**
 * Refuses, with a TypeError, what no backend could do in the same way: such a commit is a bug of the caller.
 * Gives the changes ready to be stored.
 */
export function prepareChanges(
  collection: Collection,
  changes: readonly Change[],
): readonly PreparedChange[] {
  const ids = new Set(changes.map((change) => change.id))
  if (changes.length === 0) throw new TypeError('a commit without changes')
  if (ids.size !== changes.length) throw new TypeError('a commit names a record twice')
  if (collection.layout === 'scattered' && changes.length > 1) {
    throw new TypeError('records of a scattered collection do not change together')
  }
  return changes.map(prepareChange)
}

function prepareChange(change: Change): PreparedChange {
  if (!isPossibleId(change.id)) throw new TypeError('an id is empty or not well-formed Unicode')
  if (change.kind !== 'put') return { ...change, json: '', ttlMs: undefined }
  return { ...change, json: toJson(change.value), ttlMs: ttlMsOf(change.lifetime) }
}

function ttlMsOf(lifetime: Lifetime): number | undefined {
  if (lifetime === 'permanent') return undefined
  const ttlMs = Math.ceil(lifetime.ttlSeconds * 1000)
  if (!(Number.isSafeInteger(ttlMs) && ttlMs > 0)) throw new TypeError('a TTL is not positive')
  return ttlMs
}

/** The value as JSON text; a TypeError for what JSON cannot hold as a document. */
export function toJson(value: unknown): string {
  const json: string | undefined = JSON.stringify(value)
  if (json === undefined) throw new TypeError('a value is not JSON')
  return json
}

/** Lone surrogates all become U+FFFD in UTF-8, so two such ids would be one: they are not ids. */
export function isPossibleId(id: string): boolean {
  return id !== '' && id.isWellFormed()
}

/**
 * The name under which a backend keeps a collection or a journal; a TypeError when it is not one. Braces keep the
 * layouts apart, and are the hash tag that puts what lives together into one slot of a Redis Cluster.
 */
export function storageName({ name, layout }: Collection): string {
  if (!COLLECTION_NAME.test(name)) throw new TypeError('not a name for a collection or a journal')
  return layout === 'together' ? `{${name}}` : name
}
