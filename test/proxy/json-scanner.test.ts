import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { isObject } from '../../src/kernel/is-object.ts'
import {
  countsOf,
  createJsonScanner,
  listOf,
  objectWith,
  SOUGHT,
  type Counts,
} from '../../src/proxy/json-scanner.ts'

const ROOT = objectWith({
  a: SOUGHT,
  list: listOf(objectWith({ b: SOUGHT, texts: listOf(SOUGHT) })),
  counts: countsOf('one', 'two'),
})

type Found = { sought: number; counts: Counts[] }

function scanPieces(pieces: readonly Buffer[]): Found {
  const found: Found = { sought: 0, counts: [] }
  const scanner = createJsonScanner(ROOT, {
    onFound: () => void (found.sought += 1),
    onCounts: (counts) => void found.counts.push(counts),
  })
  for (const piece of pieces) scanner.scan(piece, 0, piece.length)
  return found
}

const scanText = (text: string): Found => scanPieces([Buffer.from(text)])

/** The same, as a parser that has all of the document sees it. */
function parseFound(text: string): Found {
  const document: unknown = JSON.parse(text)
  const memberOf = (value: unknown, name: string): unknown =>
    isObject(value) && Object.hasOwn(value, name) ? value[name] : undefined
  const itemsOf = (value: unknown): unknown[] => (Array.isArray(value) ? value : [])
  const isSought = (value: unknown) => (typeof value === 'string' ? value !== '' : isObject(value))
  const countOf = (value: unknown) =>
    typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? value : undefined
  const items = itemsOf(memberOf(document, 'list'))
  const candidates = [
    memberOf(document, 'a'),
    ...items.map((item) => memberOf(item, 'b')),
    ...items.flatMap((item) => itemsOf(memberOf(item, 'texts'))),
  ]
  const counts = memberOf(document, 'counts')
  const [one, two] = [countOf(memberOf(counts, 'one')), countOf(memberOf(counts, 'two'))]
  return {
    sought: candidates.filter(isSought).length,
    counts: isObject(counts) ? [{ one, two }] : [],
  }
}

/** Documents of which the names are sought in some place, and the texts look like documents. */
const anyValue = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    fc.constantFrom('', '"', '\\', '\\"', ',"a":"x"', '{"counts":{"one":1}}', ']}', '票'),
    fc.constantFrom('x'.repeat(31), 'x'.repeat(32), `${'x'.repeat(40)}"`, `${'x'.repeat(40)}\\`),
    fc.oneof(fc.nat(), fc.constantFrom(null, true, false, -1, 1.5, 0, 1e21, 2 ** 53, 1e-7)),
    fc.array(tie('value'), { maxLength: 4 }),
    fc.dictionary(
      fc.constantFrom('a', 'b', 'list', 'texts', 'counts', 'one', 'two', '', 'a"', 'x'.repeat(40)),
      tie('value'),
      { maxKeys: 5 },
    ),
  ),
})).value
const optional = { requiredKeys: [] }
const anyDocument = fc.oneof(
  anyValue,
  fc.record(
    {
      a: anyValue,
      list: fc.array(
        fc.record({ b: anyValue, texts: fc.array(anyValue, { maxLength: 3 }) }, optional),
        { maxLength: 3 },
      ),
      counts: fc.record({ one: anyValue, x: anyValue, two: fc.nat() }, optional),
      b: anyValue,
    },
    optional,
  ),
)

test('finds what a parser finds, wherever the document is cut in two or all of its bytes come singly', () => {
  const run = fc.property(anyDocument, fc.constantFrom(0, 1), (document, indent) => {
    const text = JSON.stringify(document, null, indent)
    const bytes = Buffer.from(text)
    const expected = parseFound(text)
    const singly = Array.from(bytes, (byte) => Buffer.of(byte))
    expect(scanPieces(singly)).toEqual(expected)
    for (let at = 0; at <= bytes.length; at += 1) {
      expect(scanPieces([bytes.subarray(0, at), bytes.subarray(at)])).toEqual(expected)
    }
  })
  fc.assert(run, { numRuns: 300 })
})

describe('a number', () => {
  test.each([
    ['812', 812],
    ['812.0', 812],
    ['8.12e2', 812],
    ['0', 0],
    ['9007199254740991', 9_007_199_254_740_991],
    ['9007199254740992', undefined],
    ['1e400', undefined],
    ['1.5', undefined],
    ['-1', undefined],
    ['null', undefined],
    ['"7"', undefined],
    ['[7]', undefined],
    ['{"two":7}', undefined],
    [`1${'0'.repeat(100_000)}`, undefined],
  ])('that is written %.40s is counted as %s', (written, counted) => {
    for (const around of [
      `{"counts":{"one":${written}}}`,
      `{"counts":{"one":${written} , "x":1}}`,
    ]) {
      expect(scanText(around).counts).toEqual([{ one: counted }])
    }
  })

  test('counts however long the object around it is', () => {
    const filler = `"x":"${'x'.repeat(100_000)}","y":${'[1,'.repeat(1000)}2${']'.repeat(1000)}`
    expect(scanText(`{"counts":{${filler},"two":2}}`).counts).toEqual([{ two: 2 }])
  })
})
