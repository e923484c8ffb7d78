import type { Journal, Store } from '../store/store.ts'
import { CHAIN_START } from './chain.ts'
import { appendedSinceMs } from './journal-sink.ts'
import type { UsageSource } from './usage-report.ts'
import { addLine, type UsageSums } from './usage-sums.ts'

const READ_AT_ONCE = 1000

/** Sums up the records in a journal of the store. One that is there twice counts once. */
export function createJournalUsage(store: Pick<Store, 'read'>, journal: Journal): UsageSource {
  return async function* sumsOf({ from }) {
    const sinceMs = appendedSinceMs(Date.parse(from))
    const sums: UsageSums = new Map()
    const lastSeqs = new Map<string, number>()
    let after: string | undefined
    for (;;) {
      const entries = await store.read(journal, { after, sinceMs, limit: READ_AT_ONCE })
      for (const { value } of entries) {
        const line = typeof value === 'string' ? value : ''
        const { writer, seq } = placeOf(line)
        if (seq <= (lastSeqs.get(writer) ?? CHAIN_START.seq)) continue
        lastSeqs.set(writer, seq)
        addLine(sums, line)
      }
      after = entries.at(-1)?.id
      if (entries.length < READ_AT_ONCE) break
    }
    yield [...sums.values()]
  }
}

const PLACE = /^\{"time":"[^"]*","writer":"([^"]*)","seq":(\d+),/

function placeOf(line: string): { writer: string; seq: number } {
  const [, writer = '', seq = '0'] = PLACE.exec(line) ?? []
  return { writer, seq: Number(seq) }
}
