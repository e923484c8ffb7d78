import type { DatabaseSync } from 'node:sqlite'
import type { Clock } from '../kernel/clock.ts'
import { storageName, toJson } from './commit-rules.ts'
import { toStoreError } from './sqlite-file.ts'
import { integerIn, textIn, type Row } from './sqlite-row.ts'
import {
  DEFAULT_HEARTBEAT_MS,
  type FollowQuery,
  type Journal,
  type JournalEntry,
  type ReadQuery,
  type Store,
} from './store.ts'

const FOLLOW_BATCH = 1000
/** More than the one that is being added, so that a backlog shrinks. */
const TRIM_BATCH = 20

export type SqliteJournals = Pick<
  Store,
  'append' | 'appendAll' | 'read' | 'readLast' | 'follow'
> & { close: () => void }

/** Journals in the one file. Followers live in this process, the only one that may write, and are woken directly. */
export function createSqliteJournals(database: DatabaseSync, clock: Clock): SqliteJournals {
  const insert = database.prepare(
    'insert into journal_entry (journal, appended_at, value) values (?, ?, ?) returning id',
  )
  // Only the oldest are looked at: entries are appended in the order of time.
  const trim = database.prepare(
    `delete from journal_entry where appended_at <= ? and id in
       (select id from journal_entry where journal = ? order by id limit ${TRIM_BATCH})`,
  )
  const trimToLength = database.prepare(
    `delete from journal_entry where journal = ? and id <=
       (select id from journal_entry where journal = ? order by id desc limit 1 offset ?)`,
  )
  const selectLast = database.prepare(
    'select id, value from journal_entry where journal = ? and appended_at > ? order by id desc limit ?',
  )
  const select = database.prepare(
    'select id, value from journal_entry where journal = ? and id > ? and appended_at > ? order by id limit ?',
  )
  const lastId = database.prepare(
    "select coalesce(max(seq), 0) as id from sqlite_sequence where name = 'journal_entry'",
  )
  const waiting = new Set<() => void>()
  const closing = new AbortController()

  const nameOf = (journal: Journal) => storageName({ name: journal.name, layout: 'together' })
  const horizonMs = (journal: Journal) => clock() - journal.retentionSeconds * 1000

  /** An id beyond the last one is from another file, such as the one before a restore. */
  const cursorOf = (after: string | undefined): number => {
    const cursor = /^\d{1,15}$/.test(after ?? '') ? Number(after) : 0
    return cursor > integerIn(lastId.get(), 'id') ? 0 : cursor
  }

  const entriesAfter = (journal: Journal, cursor: number, limit: number, sinceMs = 0) => {
    const afterMs = Math.max(horizonMs(journal), sinceMs - 1)
    return select.all(nameOf(journal), cursor, afterMs, limit).map(toEntry)
  }

  const insertAll = async (journal: Journal, values: readonly unknown[]): Promise<string> => {
    const name = nameOf(journal)
    const { maxEntries } = journal
    let id = ''
    try {
      database.exec('begin immediate')
      for (const json of values.map(toJson)) {
        id = String(integerIn(insert.get(name, clock(), json), 'id'))
        trim.run(horizonMs(journal), name)
      }
      if (maxEntries !== undefined) trimToLength.run(name, name, maxEntries)
      database.exec('commit')
      for (const wake of waiting) wake()
      return id
    } catch (error) {
      if (database.isTransaction) database.exec('rollback')
      throw toStoreError(error)
    }
  }

  const read = async (journal: Journal, query: ReadQuery): Promise<JournalEntry[]> => {
    try {
      return entriesAfter(journal, cursorOf(query.after), query.limit, query.sinceMs)
    } catch (error) {
      throw toStoreError(error)
    }
  }

  const readLast = async (journal: Journal, limit: number): Promise<JournalEntry[]> => {
    try {
      const rows = selectLast.all(nameOf(journal), horizonMs(journal), limit)
      return rows.map(toEntry).toReversed()
    } catch (error) {
      throw toStoreError(error)
    }
  }

  /** A follower outlives a failing disk: it hears nothing until the disk answers again. */
  const entriesUnlessUnreadable = (journal: Journal, cursor: number) => {
    try {
      return entriesAfter(journal, cursor, FOLLOW_BATCH)
    } catch (error) {
      if (toStoreError(error) === error) throw error
      return undefined
    }
  }

  async function* follow(journal: Journal, query: FollowQuery) {
    const { signal, heartbeatMs = DEFAULT_HEARTBEAT_MS } = query
    const over = AbortSignal.any([signal, closing.signal])
    let cursor = over.aborted ? 0 : cursorOf(query.after)
    let isCaughtUp = false
    while (!over.aborted) {
      const batch = entriesUnlessUnreadable(journal, cursor)
      if (batch === undefined || (batch.length === 0 && isCaughtUp)) {
        await waitForNews(heartbeatMs, over)
        isCaughtUp = false
        continue
      }
      isCaughtUp = batch.length === 0
      cursor = Number(batch.at(-1)?.id ?? cursor)
      yield batch
    }
  }

  const waitForNews = (heartbeatMs: number, signal: AbortSignal): Promise<void> =>
    new Promise((resolve) => {
      const wake = () => {
        clearTimeout(timer)
        waiting.delete(wake)
        signal.removeEventListener('abort', wake)
        resolve()
      }
      const timer = setTimeout(wake, heartbeatMs)
      waiting.add(wake)
      signal.addEventListener('abort', wake)
    })

  return {
    append: (journal, value) => insertAll(journal, [value]),
    appendAll: async (journal, values) => void (await insertAll(journal, values)),
    read,
    readLast,
    follow,
    close: () => closing.abort(),
  }
}

const toEntry = (row: Row): JournalEntry => ({
  id: String(integerIn(row, 'id')),
  value: JSON.parse(textIn(row, 'value')),
})
