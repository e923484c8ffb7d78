import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { formatDraft } from '../../src/audit/record.ts'
import { callFacts, linkDrafts, verifyLines } from '../support/audit-lines.ts'

const TIME = '2026-01-31T09:30:00.000Z'

/** A chain of that many records. */
function chainOf(count: number, writer = 'proxy-1'): string[] {
  const drafts = Array.from({ length: count }, (_, i) =>
    formatDraft({ time: TIME, writer, seq: i + 1 }, callFacts(`request-${i + 1}`)),
  )
  return linkDrafts(drafts)
}

/** The line after whoever changed it has also made its hash anew. */
function forge(line: string, change: (line: string) => string): string {
  const draft = change(line.slice(0, line.lastIndexOf(',"prev"')))
  const prev = /"prev":"([^"]*)"/.exec(line)?.[1] ?? ''
  return linkDrafts([draft], prev).join('')
}

const asDenied = (line: string) => line.replace('"allow"', '"deny"')
const hashIn = (line: string | undefined) => /"hash":"([^"]+)"/.exec(line ?? '')?.[1] ?? ''
const kinds = (
  lines: string[],
  ...more: Parameters<typeof verifyLines> extends [unknown, ...infer R] ? R : never
) => verifyLines(lines, ...more).problems.map(({ kind, seq }) => `${kind} ${seq}`)

/** A chain and the position of one of its records, counted from 0. */
const anyPlace = fc
  .integer({ min: 3, max: 12 })
  .chain((count) => fc.tuple(fc.constant(count), fc.integer({ min: 0, max: count - 2 })))

describe('a chain', () => {
  test('that nobody touched has no problem, and its end is told', () => {
    const lines = chainOf(3)
    expect(verifyLines(lines)).toEqual({
      problems: [],
      writers: [
        {
          writer: 'proxy-1',
          records: 3,
          first_seq: 1,
          last_seq: 3,
          last_time: TIME,
          last_hash: hashIn(lines.at(-1)),
          torn_bytes: 0,
        },
      ],
    })
  })

  test('is followed for each writer, however the lines are mixed', () => {
    const [one, other] = [chainOf(2), chainOf(2, 'issuer-1')]
    expect(kinds([...one.slice(0, 1), ...other, ...one.slice(1)])).toEqual([])
  })

  test('shows where a record was changed', () => {
    fc.assert(
      fc.property(anyPlace, ([count, at]) => {
        const lines = chainOf(count)
        lines[at] = asDenied(lines[at] ?? '')
        expect(kinds(lines)).toEqual([`changed ${at + 1}`])
      }),
    )
  })

  test('shows that a record was changed together with its hash, in the one after', () => {
    fc.assert(
      fc.property(anyPlace, ([count, at]) => {
        const lines = chainOf(count)
        lines[at] = forge(lines[at] ?? '', asDenied)
        expect(kinds(lines)).toEqual([`relinked ${at + 2}`])
      }),
    )
  })

  test('shows where a record was removed', () => {
    fc.assert(
      fc.property(anyPlace, ([count, at]) => {
        const lines = chainOf(count).toSpliced(at, 1)
        // What is before the first record that is there may have expired.
        expect(kinds(lines)).toEqual(at === 0 ? [] : [`removed ${at + 2}`])
      }),
    )
  })

  test('shows where a record was inserted', () => {
    fc.assert(
      fc.property(anyPlace, ([count, at]) => {
        const lines = chainOf(count)
        const copy = forge(lines[at] ?? '', asDenied)
        expect(kinds(lines.toSpliced(at + 1, 0, copy))).toEqual([`inserted ${at + 1}`])
      }),
    )
  })

  test('shows a line that is no record, or has a member that none has', () => {
    const lines = chainOf(2)
    const withToken = forge(lines[1] ?? '', (draft) => `${draft},"token":"x"`)
    expect(verifyLines(['{}', ...lines]).problems).toMatchObject([
      { kind: 'not_a_record', source: 'line 1' },
    ])
    expect(verifyLines([lines[0] ?? '', withToken]).problems).toMatchObject([
      { kind: 'not_a_record', source: 'line 2' },
    ])
  })
})

describe('a checkpoint', () => {
  const lines = chainOf(5)
  const point = { writer: 'proxy-1', seq: 4, hash: hashIn(lines[3]) }

  test('that holds is no problem, nor one of what has expired', () => {
    expect(kinds(lines, [point])).toEqual([])
    expect(kinds(lines.slice(4), [point])).toEqual([])
  })

  test('shows that the tail was cut, also when nothing is left of the writer', () => {
    expect(kinds(lines.slice(0, 3), [point])).toEqual(['cut 4'])
    expect(kinds([], [point])).toEqual(['cut 4'])
  })

  test('shows that the tail was written anew with a chain that holds', () => {
    const drafts = [2, 3, 4, 5].map((seq) =>
      formatDraft({ time: TIME, writer: 'proxy-1', seq }, callFacts('other')),
    )
    const anew = linkDrafts(drafts, hashIn(lines[0]))
    expect(kinds([lines[0] ?? '', ...anew], [point])).toEqual(['rewritten 4'])
  })
})
