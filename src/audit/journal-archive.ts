import type { Journal, JournalEntry, Store } from '../store/store.ts'
import { appendedSinceMs } from './journal-sink.ts'
import { createMatcher } from './matcher.ts'
import type { AuditRecord } from './record.ts'
import type { AuditArchive } from './search.ts'

const READ_AT_ONCE = 1000
const MAX_ENTRIES_A_PAGE = 100_000
/** Of which the last that match are shown. */
const TAIL_ENTRIES = 5000

/** The records in a journal of the store, in the order in which they were written there. */
export function createJournalArchive(
  store: Pick<Store, 'read' | 'readLast'>,
  journal: Journal,
): AuditArchive {
  return {
    async search(filter, { limit, cursor, follows }) {
      const matches = createMatcher(filter)
      const sinceMs = appendedSinceMs(filter.fromMs ?? 0)
      const records: AuditRecord[] = []
      let after = cursor
      for (let read = 0; read < MAX_ENTRIES_A_PAGE && records.length < limit;) {
        const wanted = Math.min(READ_AT_ONCE, limit - records.length)
        const entries = await store.read(journal, { after, sinceMs, limit: wanted })
        after = entries.at(-1)?.id ?? after
        read += entries.length
        records.push(...entries.flatMap((entry) => matches(lineOf(entry)) ?? []))
        if (entries.length < wanted) return { records, next: follows === true ? after : undefined }
      }
      return { records, next: after }
    },
    async tail(filter, count) {
      const matches = createMatcher(filter)
      const entries = await store.readLast(journal, TAIL_ENTRIES)
      const records = entries.flatMap((entry) => matches(lineOf(entry)) ?? [])
      return { records: records.slice(-count), next: entries.at(-1)?.id }
    },
  }
}

const lineOf = ({ value }: JournalEntry): string => (typeof value === 'string' ? value : '')
