import fc from 'fast-check'
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { usageEndpoint } from '../../src/admin/usage-endpoint.ts'
import { auditFileName } from '../../src/audit/audit-files.ts'
import { auditJournalOf } from '../../src/audit/journal-sink.ts'
import { keepUsageSums } from '../../src/audit/keep-usage-sums.ts'
import { formatDraft, type AuditFacts } from '../../src/audit/record.ts'
import { deleteExpiredFiles } from '../../src/audit/retention.ts'
import { createFileUsage } from '../../src/audit/usage-of-files.ts'
import { createJournalUsage } from '../../src/audit/usage-of-journal.ts'
import { periodOf, reportUsage, type UsageQuery } from '../../src/audit/usage-report.ts'
import type { Store } from '../../src/store/store.ts'
import { linkDrafts } from '../support/audit-lines.ts'
import { callerToken } from '../support/caller-token.ts'
import { createTestLog } from '../support/log-lines.ts'
import { openTestSqlite } from '../support/stores.ts'
import { useTempFolders } from '../support/temp-folders.ts'

const pageSchema = z.object({
  items: z.array(z.object({ sub: z.string() })),
  next_cursor: z.string().optional(),
})
const makeFolder = useTempFolders()
const DAY = '2026-01-31'

type Call = Partial<AuditFacts> & { time?: string; tokens?: number }

const factsOf = ({ time: _time, tokens = 10, ...facts }: Call): AuditFacts => ({
  event: 'proxy.call',
  decision: 'allow',
  tenant_id: 'acme',
  client_id: 'robot',
  sub: 'robot',
  upstream: 'http://localhost:8000',
  bytes_in: 100,
  bytes_out: 200,
  queued_ms: 5,
  duration_ms: 25,
  usage: { prompt_tokens: 100, completion_tokens: tokens, images: 1 },
  ...facts,
})

/** The lines of one writer, chained. */
function linesOf(calls: readonly Call[], writer = 'proxy-1'): string[] {
  const drafts = calls.map((call, i) => {
    const time = call.time ?? `${DAY}T12:00:00.000Z`
    return formatDraft({ time, writer, seq: i + 1 }, factsOf(call))
  })
  return linkDrafts(drafts)
}

function createPlace() {
  const dir = join(makeFolder(), 'audit')
  mkdirSync(dir)
  const path = (day = DAY, writer = 'proxy-1') => join(dir, auditFileName(day, writer))
  const kept = () => readdirSync(join(dir, 'usage'))
  return {
    dir,
    path,
    kept,
    keptPath: () => join(dir, 'usage', kept()[0] ?? ''),
    write(calls: readonly Call[], day = DAY, writer = 'proxy-1') {
      const text = linesOf(calls, writer).map((line) => `${line}\n`)
      writeFileSync(path(day, writer), text.join(''))
    },
    report: (query: Partial<UsageQuery> = {}, keepsSums = true) =>
      reportUsage(createFileUsage(dir, { keepsSums }), {
        by: 'tenant',
        from: DAY,
        to: DAY,
        ...query,
      }),
    async tokens(query: Partial<UsageQuery> = {}) {
      const rows = await this.report(query)
      return rows.map(({ completion_tokens: tokens }) => tokens)
    },
  }
}

describe('a report', () => {
  test('sums up calls, tokens, images, bytes and time', async () => {
    const place = createPlace()
    place.write([
      {},
      { usage: { completion_tokens: 3, estimated: true } },
      { decision: 'deny', upstream: undefined, usage: undefined, bytes_in: 0, duration_ms: 1 },
    ])
    expect(await place.report()).toEqual([
      {
        tenant_id: 'acme',
        requests: 3,
        refused: 1,
        prompt_tokens: 100,
        completion_tokens: 13,
        estimated: 1,
        images: 1,
        bytes_in: 200,
        bytes_out: 600,
        queued_ms: 15,
        upstream_ms: 40,
      },
    ])
  })

  test('is read page by page, however long its ids are', async () => {
    const place = createPlace()
    const subs = ['a', 'b'].map((letter) => letter.repeat(5000))
    place.write(subs.map((sub) => ({ sub })))
    const usageSource = createFileUsage(place.dir, { keepsSums: false })
    const { run } = usageEndpoint({ usageSource, clock: () => Date.parse(DAY) })
    const found: unknown[] = []
    let cursor: unknown
    do {
      const query = { by: 'subject', limit: '1', ...(cursor !== undefined && { cursor }) }
      const caller = callerToken('acme')
      const { body } = await run({ params: {}, query, body: undefined, caller, expected: {} })
      const page = pageSchema.parse(body)
      found.push(...page.items.map(({ sub }) => sub))
      cursor = page.next_cursor
    } while (cursor !== undefined)
    expect(found).toEqual(subs)
  })

  test('may reach to the last day that there is', async () => {
    const place = createPlace()
    place.write([{}])
    expect(await place.tokens({ to: '9999-12-31' })).toEqual([10])
  })

  test('has a row for each tenant, client or subject', async () => {
    const place = createPlace()
    place.write([
      { sub: 'user:a', tokens: 1 },
      { sub: 'user:b', tokens: 2 },
      { client_id: 'app', sub: 'user:a', tokens: 4 },
      { tenant_id: 'other', tokens: 8 },
    ])
    const rows = async (by: UsageQuery['by']) =>
      (await place.report({ by })).map((row) => [
        row.tenant_id,
        row.client_id ?? row.sub,
        row.completion_tokens,
      ])
    expect(await rows('tenant')).toEqual([
      ['acme', undefined, 7],
      ['other', undefined, 8],
    ])
    expect(await rows('client')).toEqual([
      ['acme', 'app', 4],
      ['acme', 'robot', 3],
      ['other', 'robot', 8],
    ])
    expect(await rows('subject')).toEqual([
      ['acme', 'user:a', 5],
      ['acme', 'user:b', 2],
      ['other', 'robot', 8],
    ])
    expect(await place.tokens({ tenant_id: 'acme', client_id: 'robot' })).toEqual([3])
    expect(await place.tokens({ sub: 'user:a' })).toEqual([5])
    expect(await place.tokens({ tenant_id: 'nobody' })).toEqual([])
  })

  test('counts a call on the day (UTC) on which it was, and both days of the period', async () => {
    const place = createPlace()
    place.write([{ time: '2026-01-30T12:00:00.000Z', tokens: 1 }], '2026-01-30')
    place.write(
      [
        { time: '2026-01-30T23:59:59.999Z', tokens: 2 },
        { time: '2026-01-31T00:00:00.000Z', tokens: 4 },
        { time: '2026-01-31T23:59:59.999Z', tokens: 8 },
      ],
      '2026-01-31',
      'proxy-2',
    )
    place.write([{ time: '2026-01-31T23:59:59.999Z', tokens: 16 }], '2026-02-01')
    expect(await place.tokens()).toEqual([28])
    expect(await place.tokens({ from: '2026-01-30', to: '2026-01-30' })).toEqual([3])
    expect(await place.tokens({ from: '2026-01-30' })).toEqual([31])
    expect(await place.tokens({ from: '2026-02-01', to: '2026-02-28' })).toEqual([])
  })

  test('leaves out calls without a token, what is no call, and what is no record', async () => {
    const place = createPlace()
    const text = linesOf([{}, { client_id: undefined }, { event: 'token.issued' }]).join('\n')
    writeFileSync(place.path(), `${text}\n{"event":"proxy.call"\nnot a line\n{"time":"`)
    expect((await place.report()).map(({ requests }) => requests)).toEqual([1])
  })

  test('without days is of this month up to today', () => {
    const now = Date.parse('2026-03-15T23:30:00Z')
    expect(periodOf({}, now)).toEqual({ from: '2026-03-01', to: '2026-03-15' })
    expect(periodOf({ to: '2026-02-10' }, now)).toEqual({ from: '2026-02-01', to: '2026-02-10' })
    expect(periodOf({ from: '2025-12-24' }, now)).toEqual({ from: '2025-12-24', to: '2026-03-15' })
  })
})

describe('sums that are kept', () => {
  test('are gone on with when the file has grown, and not read again when it has not', async () => {
    const place = createPlace()
    place.write([{ tokens: 1 }])
    expect(await place.tokens()).toEqual([1])
    // What is kept says so itself: only what it says it has not seen is read.
    const kept = readFileSync(place.keptPath(), 'utf8')
    writeFileSync(
      place.keptPath(),
      kept.replace('"completion_tokens":1', '"completion_tokens":1000'),
    )
    expect(await place.tokens()).toEqual([1000])
    place.write([{ tokens: 1 }, { tokens: 2 }])
    expect(await place.tokens()).toEqual([1002])
  })

  test.each([
    ['was written anew from another record on', [{ tokens: 5 }, { tokens: 2 }], 7],
    ['was cut', [{ tokens: 1 }], 1],
    ['was written anew and has grown', [{ tokens: 5 }, { tokens: 2 }, { tokens: 3 }], 10],
    ['is empty', [], undefined],
  ])('are not served when the file %s', async (_what, calls, tokens) => {
    const place = createPlace()
    place.write([{ tokens: 1 }, { tokens: 2 }])
    expect(await place.tokens()).toEqual([3])
    place.write(calls)
    expect(await place.tokens()).toEqual(tokens === undefined ? [] : [tokens])
  })

  test('that are damaged are made again', async () => {
    const place = createPlace()
    place.write([{ tokens: 1 }])
    await place.report()
    for (const text of ['', '{', 'null', '{"bytes":-1}']) {
      writeFileSync(place.keptPath(), text)
      expect(await place.tokens()).toEqual([1])
    }
  })

  test('are not written for files that were only given to be read', async () => {
    const place = createPlace()
    place.write([{ tokens: 1 }])
    await place.report({}, false)
    expect(() => place.kept()).toThrow('ENOENT')
  })

  test('where they cannot be written, are made again', async () => {
    const place = createPlace()
    place.write([{ tokens: 1 }])
    writeFileSync(join(place.dir, 'usage'), 'in the way')
    expect(await place.tokens()).toEqual([1])
  })

  test('are made of yesterday and today without being asked for', async () => {
    const place = createPlace()
    for (const day of ['2026-01-29', '2026-01-30', '2026-01-31']) place.write([{}], day)
    const clock = () => Date.parse(`${DAY}T00:30:00Z`)
    await keepUsageSums({ dir: place.dir, clock, log: createTestLog().log })
    expect(place.kept()).toEqual(['2026-01-30.proxy-1.jsonl.json', '2026-01-31.proxy-1.jsonl.json'])
  })

  test('are deleted with their file', async () => {
    const place = createPlace()
    place.write([{}])
    await place.report()
    expect(place.kept()).toHaveLength(1)
    const clock = () => Date.parse('2026-03-31T12:00:00Z')
    await deleteExpiredFiles({ dir: place.dir, retentionDays: 30, clock, log: createTestLog().log })
    expect(place.kept()).toEqual([])
  })

  test('always say the same as the trail, however it has grown between reports', async () => {
    const place = createPlace()
    const call = fc.record({
      tenant_id: fc.constantFrom('acme', 'other', '"'),
      client_id: fc.constantFrom('robot', 'app'),
      sub: fc.constantFrom('robot', 'user:a', '票据'),
      tokens: fc.nat({ max: 1000 }),
    })
    await fc.assert(
      fc.asyncProperty(
        fc.array(call, { minLength: 1, maxLength: 20 }),
        fc.array(fc.nat({ max: 20 }), { maxLength: 4 }),
        fc.constantFrom('tenant' as const, 'client' as const, 'subject' as const),
        async (calls, ends, by) => {
          rmSync(place.dir, { recursive: true })
          mkdirSync(place.dir)
          for (const end of ends.toSorted((one, other) => one - other)) {
            place.write(calls.slice(0, end))
            await place.report({ by })
          }
          place.write(calls)
          const rows = await place.report({ by })
          expect(rows).toEqual(await place.report({ by }, false))
          const total = calls.reduce((sum, { tokens }) => sum + tokens, 0)
          expect(rows.reduce((sum, row) => sum + row.completion_tokens, 0)).toBe(total)
        },
      ),
      { numRuns: 20 },
    )
  })
})

test('a record that is twice in a journal counts once', async () => {
  const { store, stop } = await openTestSqlite(Date.now)
  const journal = auditJournalOf(1)
  const lines = linesOf(Array.from({ length: 1500 }, () => ({ tokens: 1 })))
  await store.appendAll(journal, [...lines, ...lines.slice(-500)])
  await store.appendAll(journal, linesOf([{ tokens: 5 }], 'proxy-2'))
  const rows = await reportUsage(createJournalUsage(store, journal), {
    by: 'client',
    from: DAY,
    to: DAY,
  })
  expect(rows).toMatchObject([{ client_id: 'robot', requests: 1501, completion_tokens: 1505 }])
  await stop()
})

test('a report from a journal reads nothing that came before its days', async () => {
  let now = Date.parse(`${DAY}T12:00:00Z`)
  const { store, stop } = await openTestSqlite(() => now)
  const journal = auditJournalOf(30)
  await store.appendAll(journal, linesOf(Array.from({ length: 5000 }, () => ({ tokens: 1 }))))
  now = Date.parse('2026-02-05T00:00:00Z')
  await store.appendAll(
    journal,
    linesOf([{ time: '2026-02-05T00:00:00.000Z', tokens: 5 }], 'proxy-2'),
  )
  let entriesRead = 0
  const counted: Pick<Store, 'read'> = {
    async read(...args) {
      const entries = await store.read(...args)
      entriesRead += entries.length
      return entries
    },
  }
  const period = { from: '2026-02-05', to: '2026-02-05' }
  const rows = await reportUsage(createJournalUsage(counted, journal), { by: 'client', ...period })
  expect(rows).toMatchObject([{ requests: 1, completion_tokens: 5 }])
  expect(entriesRead).toBe(1)
  await stop()
})
