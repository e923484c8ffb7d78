import { UnconfirmedWriteError, type Journal, type Store } from '../store/store.ts'
import type { AuditSink } from './trail.ts'

const SECONDS_PER_DAY = 86_400
/** About 300 MB in Redis. */
const MAX_RECORDS = 500_000
const CHUNK = 500
/** By how much the clocks of a writer and of the store may be apart. */
const CLOCKS_DIFFER_MS = 60_000

/** All writers in one journal, for as long as the retention says and as there is room. */
export const auditJournalOf = (retentionDays: number): Journal => ({
  name: 'audit',
  retentionSeconds: retentionDays * SECONDS_PER_DAY,
  maxEntries: MAX_RECORDS,
})

/** Records from then on were appended after this, however long they had to wait. */
export const appendedSinceMs = (fromMs: number): number => fromMs - CLOCKS_DIFFER_MS

/**
 * Lines in a journal of the store. A write whose answer was lost is made again, so that a few lines may be there twice;
 * none is missing.
 */
export function createJournalSink(
  store: Pick<Store, 'appendAll' | 'close'>,
  journal: Journal,
): AuditSink {
  let begun: { text: Buffer; lines: readonly string[]; done: number } | undefined
  return {
    async write(text) {
      if (begun?.text !== text) {
        begun = { text, lines: text.toString().trimEnd().split('\n'), done: 0 }
      }
      while (begun.done < begun.lines.length) {
        const chunk = begun.lines.slice(begun.done, begun.done + CHUNK)
        await store.appendAll(journal, chunk).catch((error: unknown) => {
          // It is there, and a failover that loses it shows as a gap in the chain.
          if (!(error instanceof UnconfirmedWriteError)) throw error
        })
        begun.done += chunk.length
      }
    },
    close: store.close,
  }
}
