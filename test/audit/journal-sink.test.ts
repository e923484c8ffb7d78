import { expect, test } from 'vitest'
import { createJournalArchive } from '../../src/audit/journal-archive.ts'
import { auditJournalOf, createJournalSink } from '../../src/audit/journal-sink.ts'
import { formatDraft } from '../../src/audit/record.ts'
import { createTrailVerifier } from '../../src/audit/verify.ts'
import { callFacts, linkDrafts } from '../support/audit-lines.ts'
import { openTestSqlite } from '../support/stores.ts'

test('a write whose answer is lost is made again: nothing is missing, and what is there twice is no problem', async () => {
  const { store, stop } = await openTestSqlite(Date.now)
  const journal = auditJournalOf(1)
  let calls = 0
  const sink = createJournalSink(
    {
      async appendAll(...args) {
        await store.appendAll(...args)
        calls += 1
        if (calls === 2) throw new Error('the answer is lost')
      },
      close: async () => undefined,
    },
    journal,
  )
  const drafts = Array.from({ length: 1200 }, (_, i) =>
    formatDraft({ time: new Date().toISOString(), writer: 'proxy-1', seq: i + 1 }, callFacts('x')),
  )
  const lines = linkDrafts(drafts)
  const text = Buffer.from(`${lines.join('\n')}\n`)
  await expect(sink.write(text)).rejects.toThrow('the answer is lost')
  await sink.write(text)

  const archive = createJournalArchive(store, journal)
  const verifier = createTrailVerifier([], { allowsRepeats: true })
  const strict = createTrailVerifier()
  let cursor: string | undefined
  let count = 0
  do {
    const page = await archive.search({}, { limit: 700, cursor })
    for (const record of page.records) {
      count += 1
      verifier.read(JSON.stringify(record), 'journal', true)
      strict.read(JSON.stringify(record), 'journal', true)
    }
    cursor = page.next
  } while (cursor !== undefined)
  expect(count).toBe(1700)
  expect(verifier.report()).toMatchObject({ problems: [], writers: [{ records: 1200 }] })
  expect(strict.report().problems).toHaveLength(500)
  const last = await archive.tail({}, 1)
  expect(last.records).toMatchObject([{ seq: 1200 }])
  await stop()
})
