import { LRUCache } from 'lru-cache'
import type { DatabaseSync } from 'node:sqlite'
import type { Clock } from '../kernel/clock.ts'
import {
  createVersion,
  isPossibleId,
  prepareChanges,
  storageName,
  type PreparedChange,
} from './commit-rules.ts'
import { openDatabaseFile, toStoreError } from './sqlite-file.ts'
import { createSqliteJournals } from './sqlite-journal.ts'
import { integerIn, textIn, type Row } from './sqlite-row.ts'
import {
  ConflictError,
  type Collection,
  type Expectation,
  type ListPage,
  type Store,
  type StoredRecord,
} from './store.ts'

export type SqliteStoreOptions = { path: string; clock: Clock }

/** Of listed collections: what is read again with every request is the registry, and it changes seldom. */
const MAX_REMEMBERED = 10_000

/** More than a commit usually adds, so that a backlog of expired records shrinks. */
const SWEEP_BATCH = 20

/**
 * The embedded store: one file for one process. A write is on the disk when its promise resolves. Expired records are
 * invisible at once and removed a few at a time with each commit. Throws a ConfigError when the file cannot be used.
 */
export async function openSqliteStore({ path, clock }: SqliteStoreOptions): Promise<Store> {
  const database = await openDatabaseFile(path, clock)
  const { close: closeJournals, ...journals } = createSqliteJournals(database, clock)
  const statusOf = createStatus(database)
  return {
    ...createRecords(database, clock),
    ...journals,
    status: async () => translated(statusOf),
    close: async () => {
      closeJournals()
      if (database.isOpen) database.close()
    },
  }
}

function createRecords(
  database: DatabaseSync,
  clock: Clock,
): Pick<Store, 'get' | 'list' | 'commit'> {
  const select = database.prepare(
    `select id, version, value, expires_at from record
     where collection = ? and id = ? and (expires_at is null or expires_at > ?)`,
  )
  // Only this process writes to the file, so what was read stays true until it is written here.
  const remembered = new LRUCache<string, StoredRecord>({ max: MAX_REMEMBERED })
  // Compared as bytes: 0xff follows every byte that UTF-8 can have after the prefix. `+id` keeps the cursor from being
  // taken for the place where the search begins, which may only be later.
  const selectPage = database.prepare(
    `select id, version, value from record
     where collection = ? and id >= max(?, ?) and id < cast(? as text) and +id > ?
       and (expires_at is null or expires_at > ?)
     order by id limit ?`,
  )
  const upsert = database.prepare(
    `insert into record (collection, id, version, value, expires_at) values (?, ?, ?, ?, ?)
     on conflict do update set version = excluded.version, value = excluded.value, expires_at = excluded.expires_at`,
  )
  const remove = database.prepare('delete from record where collection = ? and id = ?')
  const sweep = database.prepare(
    `delete from record where (collection, id) in
       (select collection, id from record where expires_at <= ? limit ${SWEEP_BATCH})`,
  )

  const apply = (name: string, change: PreparedChange, version: string): void => {
    const { kind, id, json, ttlMs } = change
    if (kind === 'put') {
      upsert.run(name, id, version, json, ttlMs === undefined ? null : clock() + ttlMs)
    }
    if (kind === 'delete') remove.run(name, id)
  }

  const commitPrepared = (collection: Collection, changes: readonly PreparedChange[]): string => {
    const name = storageName(collection)
    const version = createVersion()
    database.exec('begin immediate')
    try {
      for (const { id, expect } of changes) {
        if (isMet(expect, select.get(name, id, clock()))) continue
        throw new ConflictError(collection.name, id)
      }
      for (const change of changes) apply(name, change, version)
      sweep.run(clock())
      database.exec('commit')
      for (const { id } of changes) remembered.delete(keyOf(name, id))
      return version
    } catch (error) {
      if (database.isTransaction) database.exec('rollback')
      throw error
    }
  }

  return {
    get: async (collection, id) => {
      const name = storageName(collection)
      const known = remembered.get(keyOf(name, id))
      if (known !== undefined) return known
      return translated(() => {
        const row = isPossibleId(id) ? select.get(name, id, clock()) : undefined
        if (row === undefined) return undefined
        const record = toRecord(row)
        const isLasting = collection.layout === 'together' && row['expires_at'] === null
        if (isLasting) remembered.set(keyOf(name, id), record)
        return record
      })
    },

    list: async (collection, { prefix = '', after = '', limit }) =>
      translated(() => {
        const end = Buffer.concat([Buffer.from(prefix), Buffer.of(0xff)])
        const name = storageName(collection)
        const rows = selectPage.all(name, prefix, after, end, after, clock(), limit + 1)
        return toPage(rows.map(toRecord), limit)
      }),

    commit: async (collection, changes) => {
      const prepared = prepareChanges(collection, changes)
      return translated(() => commitPrepared(collection, prepared))
    },
  }
}

/** A name has no space in it. */
function keyOf(name: string, id: string): string {
  return `${name} ${id}`
}

function isMet(expect: Expectation, row: Row | undefined): boolean {
  if (expect === 'any') return true
  if (expect === 'absent') return row === undefined
  return row?.['version'] === expect.version
}

function toPage(records: readonly StoredRecord[], limit: number): ListPage {
  const page = records.slice(0, limit)
  return { records: page, next: records.length > limit ? page.at(-1)?.id : undefined }
}

function toRecord(row: Row): StoredRecord {
  return {
    id: textIn(row, 'id'),
    version: textIn(row, 'version'),
    value: JSON.parse(textIn(row, 'value')),
  }
}

function createStatus(database: DatabaseSync): () => Awaited<ReturnType<Store['status']>> {
  const version = textIn(database.prepare('select sqlite_version() as version').get(), 'version')
  const size = database.prepare(
    'select page_count * page_size as bytes from pragma_page_count, pragma_page_size',
  )
  return () => {
    const startedAtMs = performance.now()
    const sizeBytes = integerIn(size.get(), 'bytes')
    const latencyMs = performance.now() - startedAtMs
    return { backend: 'sqlite', version, latencyMs, sizeBytes, warnings: [] }
  }
}

function translated<T>(work: () => T): T {
  try {
    return work()
  } catch (error) {
    throw toStoreError(error)
  }
}
