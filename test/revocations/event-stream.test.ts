import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { createEventStreamParser, type StreamItem } from '../../src/revocations/event-stream.ts'
import { anyCharacter } from '../support/any-character.ts'

const encoder = new TextEncoder()

function parse(...chunks: (string | Uint8Array)[]): StreamItem[] {
  const parser = createEventStreamParser()
  return chunks.flatMap((chunk) =>
    parser.push(typeof chunk === 'string' ? encoder.encode(chunk) : chunk),
  )
}

const event = (data: string, over: { name?: string; id?: string } = {}) => ({
  type: 'event',
  name: 'message',
  id: '',
  data,
  ...over,
})

/** One line of a stream, with all that could be mistaken for an end of it. */
const line = fc.oneof(
  fc.constant(''),
  fc.string({ unit: anyCharacter, maxLength: 12 }).map((text) => text.replace(/[\r\n]/g, '')),
  fc
    .tuple(fc.constantFrom('data', 'event', 'id', 'retry', ''), fc.constantFrom(':', ': '))
    .chain(([field, colon]) =>
      fc
        .string({ unit: 'grapheme', maxLength: 8 })
        .map((value) => `${field}${colon}${value.replace(/[\r\n]/g, '')}`),
    ),
)
const stream = fc
  .array(fc.tuple(line, fc.constantFrom('\n', '\r', '\r\n')), { maxLength: 20 })
  .map((lines) => lines.flat().join(''))

describe('an event stream', () => {
  test('always says the same, however it is cut', () => {
    fc.assert(
      fc.property(stream, fc.array(fc.nat(4), { minLength: 1 }), (text, sizes) => {
        const bytes = encoder.encode(text)
        const chunks: Uint8Array[] = []
        for (let at = 0, i = 0; at < bytes.length; i += 1) {
          // A chunk may be empty, but not all of them.
          const size = (sizes[i % sizes.length] ?? 0) + (i % sizes.length === 0 ? 1 : 0)
          chunks.push(bytes.subarray(at, at + size))
          at += size
        }
        expect(parse(...chunks)).toEqual(parse(bytes))
      }),
    )
  })

  test('says the same with any of the three line ends', () => {
    fc.assert(
      fc.property(fc.array(line, { maxLength: 20 }), (lines) => {
        const [first, ...others] = ['\n', '\r', '\r\n'].map((end) =>
          parse(lines.map((each) => each + end).join('')),
        )
        for (const other of others) expect(other).toEqual(first)
      }),
    )
  })

  test('joins data lines, takes one space off, and gives the name to one event only', () => {
    expect(parse('event: revocation\nid: 7\ndata: a\ndata:  b\ndata\n\ndata:c\n\n')).toEqual([
      event('a\n b\n', { name: 'revocation', id: '7' }),
      event('c', { id: '7' }),
    ])
  })

  test('drops what has no data but keeps its id, and never tells an event that is not over', () => {
    expect(parse('id: 7\nevent: x\n\ndata: a\n\ndata: b\n')).toEqual([event('a', { id: '7' })])
  })

  test('takes an id without a value as none, and an id with a NULL not at all', () => {
    expect(parse('id: 7\ndata: a\n\nid: 8\0\ndata: b\n\nid\ndata: c\n\n')).toEqual([
      event('a', { id: '7' }),
      event('b', { id: '7' }),
      event('c'),
    ])
  })

  test('tells comments and the delay, and skips other fields and a byte order mark', () => {
    expect(parse('\uFEFF: hello\nretry: 250\nretry: soon\nplanet: earth\n\n')).toEqual([
      { type: 'comment' },
      { type: 'retry', delayMs: 250 },
    ])
  })

  test.each([
    ['one line', ['data: ', 'x'.repeat(70_000)]],
    ['many lines', Array.from({ length: 700 }, () => `data: ${'x'.repeat(100)}\n`)],
    ['a comment', [`:${'x'.repeat(70_000)}`]],
  ])('that never ends an event is given up: %s', (_what, chunks) => {
    expect(() => parse(...chunks)).toThrow('too long')
  })
})
