import { AppError } from '../kernel/errors.ts'

/**
 * What Gatehouse keeps, and all that it asks of a place to keep it: records that change by compare-and-set, and
 * journals that are appended to and followed. Every method fails with AppError `temporarily_unavailable` when the
 * backend cannot answer in time; after such a failure of a write it is unknown whether the write took place.
 */
export type Store = {
  /** The record, or undefined when there is none or it has expired. */
  get: (collection: Collection, id: string) => Promise<StoredRecord | undefined>

  /**
   * Records in the order of the UTF-8 bytes of their ids: those that begin with `prefix` and come after `after`. A page
   * may hold fewer than `limit`; only `next` being undefined says that it is the last. Not a snapshot: what is
   * written between two pages may be missed or seen.
   */
  list: (collection: ListedCollection, query: ListQuery) => Promise<ListPage>

  /**
   * Makes every change or none, and gives the version that all records put by it now have. Throws a ConflictError,
   * having changed nothing, when an expectation does not hold. A scattered collection takes one change at a time.
   */
  commit: (collection: Collection, changes: readonly Change[]) => Promise<string>

  /** Adds an entry and gives its id; ids of one journal only ever grow. */
  append: (journal: Journal, value: unknown) => Promise<string>

  /** Adds entries in that order, all or none; at most a few thousand. */
  appendAll: (journal: Journal, values: readonly unknown[]) => Promise<void>

  /** The oldest `limit` entries after the id `after`, or from the start. An id that is not ours reads from the start. */
  read: (journal: Journal, query: ReadQuery) => Promise<readonly JournalEntry[]>

  /** The newest `limit` entries, in their order. */
  readLast: (journal: Journal, limit: number) => Promise<readonly JournalEntry[]>

  /**
   * Every entry after the id `after` (or from the start) once, in order, and then each new one as it is appended. A
   * batch without entries says that all there was has been seen; one comes at the latest every `heartbeatMs` while
   * the backend answers. Goes on by itself after an outage; ends when the signal aborts or the store is closed.
   */
  follow: (journal: Journal, query: FollowQuery) => AsyncIterable<readonly JournalEntry[]>

  /** Asks the backend how it is. `warnings` name what an operator should change about it. */
  status: () => Promise<StoreStatus>

  close: () => Promise<void>
}

/** Records that live together: they are listed, and several may change in one commit. For hundreds of thousands. */
export type ListedCollection = { readonly name: string; readonly layout: 'together' }

/** Records that stand alone, spread over all nodes of a cluster: neither listed nor changed together. For millions. */
export type ScatteredCollection = { readonly name: string; readonly layout: 'scattered' }

/** The name has 1 to 200 characters of `A-Z a-z 0-9 . _ ~ / -` and belongs to one layout for good. */
export type Collection = ListedCollection | ScatteredCollection

/**
 * `version` changes with every put and is never given twice, also after the record was deleted and made anew. The value is
 * shared with other readers: never change it.
 */
export type StoredRecord = {
  readonly id: string
  readonly value: unknown
  readonly version: string
}

/** What must hold for a commit to take place. */
export type Expectation = 'absent' | 'any' | { version: string }

/** How long a record is kept: said with every put, so that nothing stays for ever by oversight. */
export type Lifetime = 'permanent' | { ttlSeconds: number }

/** One change of a commit; `value` is anything that JSON can hold. A `check` changes nothing but must hold as well. */
export type Change =
  | { kind: 'put'; id: string; value: unknown; expect: Expectation; lifetime: Lifetime }
  | { kind: 'delete'; id: string; expect: Expectation }
  | { kind: 'check'; id: string; expect: Expectation }

type ListQuery = { prefix?: string; after?: string | undefined; limit: number }
export type ListPage = { records: readonly StoredRecord[]; next: string | undefined }

/**
 * An append-only sequence of entries that are dropped once they are older than the retention, and, where there is a bound,
 * once that many are newer.
 */
export type Journal = {
  readonly name: string
  readonly retentionSeconds: number
  readonly maxEntries?: number
}
export type JournalEntry = { id: string; value: unknown }
export type ReadQuery = {
  after?: string | undefined
  /** Passes over what was appended before that time, by the clock of the store. */
  sinceMs?: number | undefined
  limit: number
}
export type FollowQuery = { after?: string | undefined; heartbeatMs?: number; signal: AbortSignal }

export type StoreStatus = {
  backend: 'sqlite' | 'redis'
  /** The version of SQLite or of the Redis server. */
  version: string
  latencyMs: number
  sizeBytes: number
  warnings: readonly string[]
}

/** How often a follower hears from the backend unless it asks for something else. */
export const DEFAULT_HEARTBEAT_MS = 2000

/** A commit whose expectation about the record `id` did not hold: somebody else was there before. */
export class ConflictError extends Error {
  readonly collection: string
  readonly id: string

  constructor(collection: string, id: string) {
    super('a record is not as the commit expected it')
    this.name = 'ConflictError'
    this.collection = collection
    this.id = id
  }
}

/**
 * AppError `temporarily_unavailable` of a write that was made, and that everybody sees, but that no replica confirmed: a
 * failover may still lose it.
 */
export class UnconfirmedWriteError extends AppError {
  constructor() {
    super(
      'temporarily_unavailable',
      'It is done, but no replica of the store confirmed it, and a failover may undo it: look, and repeat it later.',
      { reason: 'redis_not_replicated', headers: { 'retry-after': '1' } },
    )
    this.name = 'UnconfirmedWriteError'
  }
}
