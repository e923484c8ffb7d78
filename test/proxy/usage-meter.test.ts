import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { AuditFacts } from '../../src/audit/record.ts'
import { createUsageMeter } from '../../src/proxy/usage-meter.ts'
import { anyCharacter } from '../support/any-character.ts'

type Usage = AuditFacts['usage']

/** What the meter makes of an answer that comes in these pieces. */
function meter(pieces: readonly Buffer[], headers: Record<string, string>): Usage {
  let usage: Usage
  const observer = createUsageMeter({}, (known) => {
    usage = known
  })
  observer.onHeaders(200, headers)
  for (const piece of pieces) observer.onChunk(piece)
  return usage
}

const JSON_ANSWER = { 'content-type': 'application/json; charset=utf-8' }
const STREAM = { 'content-type': 'text/event-stream; charset=utf-8' }
const ofJson = (text: string) => meter([Buffer.from(text)], JSON_ANSWER)
const ofStream = (text: string) => meter([Buffer.from(text)], STREAM)

/** Cuts the bytes at these places, each a share of their length. */
function cut(text: string, shares: readonly number[]): Buffer[] {
  const bytes = Buffer.from(text)
  const ends = [...shares.map((share) => Math.floor(share * bytes.length)), bytes.length]
  ends.sort((one, other) => one - other)
  return ends.map((end, i) => bytes.subarray(ends[i - 1] ?? 0, end))
}

const shares = fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 12 })
const count = fc.nat({ max: 100_000 })

/** What an image may make the model write: text that looks like what is sought, and what breaks careless readers. */
const hostileText = fc
  .array(
    fc.oneof(
      fc.constantFrom(
        '"usage":{"completion_tokens":0}',
        '","usage":{"prompt_tokens":0,"completion_tokens":0},"x":"',
        '}]}',
        '{"choices":[{"delta":{"content":"x"}}]}',
        '\\',
        '\\"',
        '"',
        '\n\ndata: {"usage":{"completion_tokens":0}}\n\n',
        '\r\n',
        '[[[[{{{{',
        '\u2028',
        '票据',
      ),
      fc.string({ unit: anyCharacter, maxLength: 8 }),
    ),
    { maxLength: 8 },
  )
  .map((parts) => parts.join(''))

/** Members that a model server may put anywhere, none of which is a count of ours. */
const otherMembers = fc.dictionary(
  fc.oneof(
    hostileText,
    fc.constantFrom('id', 'delta', 'content', 'object', '__proto__', 'constructor'),
  ),
  fc.oneof(
    hostileText,
    fc.jsonValue({ maxDepth: 4 }),
    fc.record({ usage: fc.record({ completion_tokens: count }) }),
    fc.array(fc.record({ usage: fc.record({ completion_tokens: count }) }), { maxLength: 3 }),
  ),
  { maxKeys: 4 },
)

const isTaken = (name: string) => name === 'usage' || name === 'choices'
const withoutTaken = otherMembers.map((members) =>
  Object.fromEntries(Object.entries(members).filter(([name]) => !isTaken(name))),
)

describe('a JSON answer', () => {
  test('says what it took', () => {
    const usage = { prompt_tokens: 812, completion_tokens: 40, total_tokens: 852 }
    const answer = { id: 'x', choices: [{ message: { content: 'Total 12.50' } }], usage }
    expect(ofJson(JSON.stringify(answer, null, 2))).toEqual({
      prompt_tokens: 812,
      completion_tokens: 40,
    })
  })

  test('is read right however it is cut, and whatever its text looks like', () => {
    const answer = fc.record({
      before: withoutTaken,
      text: hostileText,
      usage: fc.record({
        prompt_tokens: count,
        completion_tokens: count,
        prompt_tokens_details: fc.option(otherMembers),
      }),
      after: withoutTaken,
      indent: fc.constantFrom(0, 2),
    })
    fc.assert(
      fc.property(answer, shares, ({ before, text, usage, after, indent }, places) => {
        const choices = [{ index: 0, message: { role: 'assistant', content: text } }]
        const json = JSON.stringify({ ...before, choices, usage, ...after }, null, indent)
        const { prompt_tokens, completion_tokens } = usage
        expect(meter(cut(json, places), JSON_ANSWER)).toEqual({ prompt_tokens, completion_tokens })
      }),
      { numRuns: 300 },
    )
  })

  test('without a usage of its own has none, whatever its text and its other members say', () => {
    fc.assert(
      fc.property(withoutTaken, hostileText, shares, (members, text, places) => {
        const json = JSON.stringify({ ...members, choices: [{ message: { content: text } }] })
        expect(meter(cut(json, places), JSON_ANSWER)).toBeUndefined()
      }),
      { numRuns: 300 },
    )
  })

  test('that is no document at all is passed over', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 64 }), { maxLength: 6 }), (pieces) => {
        const bytes = pieces.map((piece) => Buffer.from(piece))
        expect(meter(bytes, JSON_ANSWER)).toBeUndefined()
        expect(meter(bytes, STREAM)).toBeUndefined()
      }),
    )
  })

  test.each([
    ['null', '{"usage":null}'],
    ['a text', '{"usage":"{\\"completion_tokens\\":1}"}'],
    ['a list', '{"usage":[{"completion_tokens":1}]}'],
    ['negative', '{"usage":{"completion_tokens":-1}}'],
    ['a fraction', '{"usage":{"completion_tokens":1.5}}'],
    ['beyond what a number holds', '{"usage":{"completion_tokens":1e400}}'],
    ['in a list', '[{"usage":{"completion_tokens":1}}]'],
    ['in another member', '{"result":{"usage":{"completion_tokens":1}}}'],
    ['broken off', '{"usage":{"completion_tokens":1'],
  ])('with a usage that is %s has none', (_what, json) => {
    expect(ofJson(json)).toBeUndefined()
  })

  test('is not read when it is encoded, or something else', () => {
    const answer = [Buffer.from('{"usage":{"completion_tokens":1}}')]
    expect(meter(answer, { ...JSON_ANSWER, 'content-encoding': 'gzip' })).toBeUndefined()
    expect(meter(answer, { 'content-type': 'text/html' })).toBeUndefined()
    expect(meter(answer, {})).toBeUndefined()
    expect(meter(answer, { 'content-type': 'application/vnd.ocr+json' })).toEqual({
      completion_tokens: 1,
    })
    expect(meter(answer, { ...JSON_ANSWER, 'content-encoding': 'identity' })).toEqual({
      completion_tokens: 1,
    })
  })
})

const delta = (content: string) => ({ choices: [{ index: 0, delta: { content } }] })
const events = (documents: readonly unknown[], newline = '\n') =>
  documents.map((each) => `data: ${JSON.stringify(each)}${newline}${newline}`).join('')

describe('a stream', () => {
  test('says at its end what it took', () => {
    const usage = { prompt_tokens: 812, completion_tokens: 2, total_tokens: 814 }
    const documents = [delta(''), delta('12'), delta('.50'), { choices: [], usage }]
    expect(ofStream(`${events(documents)}data: [DONE]\n\n`)).toEqual({
      prompt_tokens: 812,
      completion_tokens: 2,
    })
  })

  test('that says so with every part counts up to its last part', () => {
    const part = (completion_tokens: number) => ({ ...delta('x'), usage: { completion_tokens } })
    expect(ofStream(events([part(1), part(2), { ...delta('x'), usage: null }]))).toEqual({
      completion_tokens: 2,
    })
  })

  test('that does not say so is estimated by its pieces of text', () => {
    expect(ofStream(events([delta(''), delta('12'), delta('.50')]))).toEqual({
      completion_tokens: 2,
      estimated: true,
    })
  })

  test('that brought no text has no usage', () => {
    const role = { choices: [{ index: 0, delta: { role: 'assistant', content: null } }] }
    expect(ofStream(events([role, delta('')]))).toBeUndefined()
  })

  test.each([
    ['what a model thinks', { delta: { reasoning_content: '12' } }],
    ['what another thinks', { delta: { reasoning: '12' } }],
    ['calls of tools', { delta: { tool_calls: [{ function: { name: 'x', arguments: '{' } }] } }],
    ['a plain completion', { text: '12' }],
  ])('that does not say so is estimated by its pieces of %s', (_what, choice) => {
    expect(ofStream(events([{ choices: [choice] }, { choices: [choice] }]))).toEqual({
      completion_tokens: 2,
      estimated: true,
    })
  })

  test('may begin with a byte order mark', () => {
    const text = `\ufeff${events([delta('12')])}`
    for (const places of [[], [0.02, 0.03]]) {
      expect(meter(cut(text, places), STREAM)).toEqual({ completion_tokens: 1, estimated: true })
    }
  })

  test('is read right however it is cut, wherever it breaks off, and whatever its text looks like', () => {
    const part = fc.record({ text: hostileText, others: withoutTaken })
    const noise = fc.constantFrom('', ': "it\'s {"\n\n', 'event: message\n', 'id: [1\r\n', 'data\n')
    const stream = fc.record({
      parts: fc.array(part, { maxLength: 8 }),
      usage: fc.option(fc.record({ prompt_tokens: count, completion_tokens: count })),
      newline: fc.constantFrom('\n', '\r\n'),
      noise,
    })
    fc.assert(
      fc.property(stream, shares, ({ parts, usage, newline, noise }, places) => {
        const documents = parts.map(({ text, others }) => ({ ...others, ...delta(text) }))
        const last = usage === null ? [] : [{ choices: [], usage }]
        const text = documents.map((each) => noise + events([each], newline)).join('')
        const pieces = parts.filter((each) => each.text !== '').length
        const estimate = pieces === 0 ? undefined : { completion_tokens: pieces, estimated: true }
        const whole = `${text}${events(last, newline)}data: [DONE]${newline}${newline}`
        expect(meter(cut(whole, places), STREAM)).toEqual(usage ?? estimate)
        expect(meter(cut(`${text}data: {"usage":{"prompt`, places), STREAM)).toEqual(estimate)
      }),
      { numRuns: 300 },
    )
  })

  test('goes on after a part that is broken', () => {
    const broken = 'data: {"choices":[{"delta":{"content":"12\n\n'
    expect(ofStream(broken + events([{ usage: { completion_tokens: 7 } }]))).toEqual({
      completion_tokens: 7,
    })
  })

  test('takes several lines of data as one part', () => {
    expect(ofStream('data: {"x":\ndata: {"usage":{"completion_tokens":1}}}\n\n')).toBeUndefined()
    expect(ofStream('data: {"usage":\ndata: {"completion_tokens":1}}\n\n')).toEqual({
      completion_tokens: 1,
    })
  })
})
