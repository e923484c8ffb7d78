import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { createAnswerParser, type FieldList } from '../../src/proxy/answer-parser.ts'
import { ExchangeError } from '../../src/proxy/exchange-error.ts'
import { mutatedAnswers, wellFormedAnswers } from '../support/model-answers.ts'

/** What the listener was told: chunks that follow one another as one. */
type Event =
  | { head: number; headers: FieldList }
  | { body: string }
  | { end: FieldList }
  | { refused: string }

type Reading = {
  method?: string
  /** Each is read by itself. */
  pieces: readonly string[]
  isClosed?: boolean
}

function readAnswer({ method = 'GET', pieces, isClosed = true }: Reading) {
  const events: Event[] = []
  const parser = createAnswerParser({
    onHead: (head, headers) => events.push({ head, headers }),
    onChunk(chunk) {
      const last = events.at(-1)
      if (last !== undefined && 'body' in last) last.body += chunk.toString('latin1')
      else events.push({ body: chunk.toString('latin1') })
    },
    onEnd: (end) => events.push({ end }),
  })
  parser.begin(method)
  try {
    for (const piece of pieces) parser.read(Buffer.from(piece, 'latin1'))
    if (isClosed) parser.close()
  } catch (error) {
    if (!(error instanceof ExchangeError)) throw error
    events.push({ refused: error.code })
  }
  return { events, persistence: parser.persistence() }
}

const REFUSED = { refused: 'UPSTREAM_MALFORMED' }
const SIZED = 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello'
const CHUNKED_HEAD = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n'
const CHUNKED = ['transfer-encoding', 'chunked']

describe('an answer', () => {
  test.each<[string, string, Event[]]>([
    [
      'whose length is said',
      SIZED,
      [{ head: 200, headers: ['content-length', '5'] }, { body: 'hello' }, { end: [] }],
    ],
    [
      'whose length is said with zeros before it',
      'HTTP/1.1 200 OK\r\ncontent-length: 0002\r\n\r\nhi',
      [{ head: 200, headers: ['content-length', '0002'] }, { body: 'hi' }, { end: [] }],
    ],
    [
      'that is empty',
      'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n',
      [{ head: 200, headers: ['content-length', '0'] }, { end: [] }],
    ],
    [
      'in chunks',
      `${CHUNKED_HEAD}5\r\nhello\r\n00a\r\n0123456789\r\n0\r\n\r\n`,
      [{ head: 200, headers: CHUNKED }, { body: 'hello0123456789' }, { end: [] }],
    ],
    [
      'in chunks, of which there are none',
      `${CHUNKED_HEAD}0\r\n\r\n`,
      [{ head: 200, headers: CHUNKED }, { end: [] }],
    ],
    [
      'in chunks with extensions and trailers',
      `${CHUNKED_HEAD}5;a=b;c="d e"\r\nhello\r\n000;last\r\nX-Sum: 1\r\nX-Sum:2 \r\n\r\n`,
      [{ head: 200, headers: CHUNKED }, { body: 'hello' }, { end: ['x-sum', '1', 'x-sum', '2'] }],
    ],
    [
      'whose chunks look like their own framing',
      `${CHUNKED_HEAD}7\r\n0\r\n\r\n\r\n\r\n0\r\n\r\n`,
      [{ head: 200, headers: CHUNKED }, { body: '0\r\n\r\n\r\n' }, { end: [] }],
    ],
    [
      'in chunks, said in capitals',
      'HTTP/1.1 200 OK\r\nTRANSFER-ENCODING: \tCHUNKED \r\n\r\n1\r\na\r\n0\r\n\r\n',
      [{ head: 200, headers: ['transfer-encoding', 'CHUNKED'] }, { body: 'a' }, { end: [] }],
    ],
    [
      'that ends with the connection',
      'HTTP/1.1 200 OK\r\nServer: a\r\n\r\nhello\r\n\r\n',
      [{ head: 200, headers: ['server', 'a'] }, { body: 'hello\r\n\r\n' }, { end: [] }],
    ],
    [
      'of HTTP/1.0',
      'HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi',
      [{ head: 200, headers: ['content-length', '2'] }, { body: 'hi' }, { end: [] }],
    ],
    [
      'of HTTP/1.0 that ends with the connection',
      'HTTP/1.0 404 \r\n\r\nhi',
      [{ head: 404, headers: [] }, { body: 'hi' }, { end: [] }],
    ],
    ['204', 'HTTP/1.1 204 No Content\r\n\r\n', [{ head: 204, headers: [] }, { end: [] }]],
    [
      '304 that says how long it would be',
      'HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n',
      [{ head: 304, headers: ['content-length', '5'] }, { end: [] }],
    ],
    [
      'after others that only inform',
      `HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103\r\nLink: a\r\nContent-Length: 9\r\n\r\n${SIZED}`,
      [{ head: 200, headers: ['content-length', '5'] }, { body: 'hello' }, { end: [] }],
    ],
    [
      'without a reason, and with fields that are empty, odd or not ASCII',
      "HTTP/1.1 599\r\nX-A:\r\nX-B: \t \r\n!#$%&'*+.^_`|~: a\tb: \xe9\xff\r\nContent-Length: 0\r\n\r\n",
      [
        {
          head: 599,
          headers: [
            'x-a',
            '',
            'x-b',
            '',
            "!#$%&'*+.^_`|~",
            'a\tb: \xe9\xff',
            'content-length',
            '0',
          ],
        },
        { end: [] },
      ],
    ],
  ])('%s', (_, text, events) => {
    expect(readAnswer({ pieces: [text] })).toMatchObject({ events })
  })

  test.each([
    ['that says its length', 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n'],
    ['in chunks', CHUNKED_HEAD],
    ['that does not say', 'HTTP/1.1 200 OK\r\n\r\n'],
  ])('to HEAD %s has no body', (_, text) => {
    const { events } = readAnswer({ method: 'HEAD', pieces: [text], isClosed: false })
    expect(events.at(-1)).toEqual({ end: [] })
    const surplus = readAnswer({ method: 'HEAD', pieces: [`${text}x`] })
    expect(surplus.events.at(-1)).toEqual(REFUSED)
  })

  test('follows another on one connection', () => {
    const seen: (number | string)[] = []
    const parser = createAnswerParser({
      onHead: (status) => seen.push(status),
      onChunk: (chunk) => seen.push(chunk.toString()),
      onEnd: () => seen.push('end'),
    })
    for (const [method, text] of [
      ['GET', SIZED],
      ['HEAD', CHUNKED_HEAD],
      ['POST', `${CHUNKED_HEAD}1\r\na\r\n0\r\n\r\n`],
      ['GET', 'HTTP/1.1 204 No Content\r\n\r\n'],
    ] as const) {
      parser.begin(method)
      parser.read(Buffer.from(text))
    }
    expect(seen).toEqual([200, 'hello', 'end', 200, 'end', 200, 'a', 'end', 204, 'end'])
    expect(() => parser.read(Buffer.from('H'))).toThrow(ExchangeError)
  })

  test.each([
    ['before its head', ''],
    ['in its head', 'HTTP/1.1 200 OK\r\nContent-Le'],
    ['between what informs and the answer', 'HTTP/1.1 100 Continue\r\n\r\n'],
    ['before its length is reached', SIZED.slice(0, -1)],
    ['in a chunk', `${CHUNKED_HEAD}5\r\nhell`],
    ['after a chunk', `${CHUNKED_HEAD}5\r\nhello\r\n`],
    ['before its trailers are over', `${CHUNKED_HEAD}0\r\nX-Sum: 1\r\n`],
  ])('that breaks off %s is not over', (_, text) => {
    const { events } = readAnswer({ pieces: [text] })
    expect(events.filter((event) => 'end' in event)).toEqual([])
  })
})

describe('the connection', () => {
  const answerWith = (...fields: string[]) =>
    ['HTTP/1.1 200 OK', ...fields, 'Content-Length: 0', '', ''].join('\r\n')

  test.each<[boolean, number | undefined, string]>([
    [true, undefined, SIZED],
    [true, undefined, `${CHUNKED_HEAD}0\r\n\r\n`],
    [true, undefined, 'HTTP/1.1 204 No Content\r\n\r\n'],
    [true, undefined, answerWith('Connection: keep-alive')],
    [true, undefined, answerWith('Connection: x-close, closed, not-close')],
    [true, 5, answerWith('Keep-Alive: timeout=5')],
    [true, 75, answerWith('Keep-Alive: max=100, Timeout=75')],
    [true, undefined, answerWith('Keep-Alive: xtimeout=5')],
    [true, undefined, answerWith('Keep-Alive: timeout=1000000000')],
    [false, undefined, answerWith('Connection: close')],
    [false, undefined, answerWith('Connection: CLOSE')],
    [false, undefined, answerWith('Connection: keep-alive, Close , x')],
    [false, undefined, answerWith('Connection: keep-alive', 'Connection: close')],
    [false, undefined, 'HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n'],
    [false, undefined, 'HTTP/1.1 200 OK\r\nConnection: keep-alive\r\n\r\nuntil close'],
  ])('stays open: %s, for %s s: %j', (staysOpen, keepAliveSeconds, text) => {
    expect(readAnswer({ pieces: [text] }).persistence).toEqual({ staysOpen, keepAliveSeconds })
  })

  test('is judged by each answer anew, and not by what only informs', () => {
    const parser = createAnswerParser({
      onHead: () => undefined,
      onChunk: () => undefined,
      onEnd: () => undefined,
    })
    parser.begin('GET')
    parser.read(Buffer.from(answerWith('Keep-Alive: timeout=5')))
    parser.begin('GET')
    const informing = 'HTTP/1.1 103 Early Hints\r\nConnection: close\r\n\r\n'
    parser.read(Buffer.from(informing + answerWith()))
    expect(parser.persistence()).toEqual({ staysOpen: true, keepAliveSeconds: undefined })
  })
})

describe('what is refused', () => {
  const withFields = (...fields: string[]) =>
    ['HTTP/1.1 200 OK', ...fields, '', 'hello'].join('\r\n')
  const inChunks = (text: string) => CHUNKED_HEAD + text
  const LONG = 'x'.repeat(16_384)

  test.each([
    ['both lengths', withFields('Content-Length: 5', 'Transfer-Encoding: chunked')],
    ['both lengths, the other way', withFields('Transfer-Encoding: chunked', 'Content-Length: 5')],
    ['two lengths', withFields('Content-Length: 5', 'Content-Length: 6')],
    ['the same length twice', withFields('Content-Length: 5', 'Content-Length: 5')],
    ['a list of lengths', withFields('Content-Length: 5, 5')],
    ['a length with a sign', withFields('Content-Length: +5')],
    ['a negative length', withFields('Content-Length: -5')],
    ['a length in hex', withFields('Content-Length: 0x5')],
    ['a length with a fraction', withFields('Content-Length: 5.0')],
    ['a length in words', withFields('Content-Length: five')],
    ['an empty length', withFields('Content-Length:')],
    ['a length of 16 digits', withFields(`Content-Length: ${'1'.repeat(16)}`)],
    ['chunks twice', withFields('Transfer-Encoding: chunked', 'Transfer-Encoding: chunked')],
    ['chunks twice in a list', withFields('Transfer-Encoding: chunked, chunked')],
    ['another coding', withFields('Transfer-Encoding: gzip, chunked')],
    ['another coding alone', withFields('Transfer-Encoding: identity')],
    ['a coding that almost is one', withFields('Transfer-Encoding: xchunked')],
    ['a coding with a parameter', withFields('Transfer-Encoding: chunked;a=b')],
    ['an empty coding', withFields('Transfer-Encoding:')],
    ['chunks in HTTP/1.0', 'HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'],
    ['another protocol', 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n'],
    ['HTTP/2', 'HTTP/2 200 OK\r\n\r\n'],
    ['HTTP/1.2', 'HTTP/1.2 200 OK\r\n\r\n'],
    ['HTTP/0.9', '<html>\r\n\r\n'],
    ['a request', 'GET / HTTP/1.1\r\nHost: a\r\n\r\n'],
    ['http in small letters', 'http/1.1 200 OK\r\n\r\n'],
    ['a status of two digits', 'HTTP/1.1 20 OK\r\n\r\n'],
    ['a status of four digits', 'HTTP/1.1 2000 OK\r\n\r\n'],
    ['a status below 100', 'HTTP/1.1 099 OK\r\n\r\n'],
    ['two spaces before the status', 'HTTP/1.1  200 OK\r\n\r\n'],
    ['a tab before the status', 'HTTP/1.1\t200 OK\r\n\r\n'],
    ['NUL in the reason', 'HTTP/1.1 200 O\0K\r\n\r\n'],
    ['an empty line before', `\r\n${SIZED}`],
    ['bare line feeds', 'HTTP/1.1 200 OK\nContent-Length: 5\n\nhello\r\n\r\n'],
    ['a bare line feed in a head', withFields('A: b\nContent-Length: 5')],
    ['a bare carriage return in a value', withFields('A: b\rContent-Length: 5')],
    ['a bare carriage return in the status line', 'HTTP/1.1 200 OK\rA: b\r\n\r\n'],
    ['a line that goes on in the next', withFields('A: b', ' c', 'Content-Length: 5')],
    ['a length that goes on in the next', withFields('Content-Length:', ' 5')],
    ['a first field that begins with a blank', withFields(' A: b')],
    ['a space before the colon', withFields('Content-Length : 5')],
    ['a tab before the colon', withFields('Content-Length\t: 5')],
    ['no colon', withFields('Content-Length 5', 'A: b')],
    ['no name', withFields(': 5')],
    ['a name with a bracket', withFields('A(b): c')],
    ['a name that is not ASCII', withFields('\xe9: c')],
    ['NUL in a value', withFields('A: b\0c')],
    ['NUL in a name', withFields('A\0: b')],
    ['DEL in a value', withFields('A: b\x7fc')],
    ['a form feed before a length', withFields('Content-Length: \x0c5')],
    ['faults in what only informs', `HTTP/1.1 100 Continue\r\nA : b\r\n\r\n${SIZED}`],
    ['more than was said', `${SIZED}x`],
    ['a line end more than was said', `${SIZED}\r\n`],
    ['two answers', SIZED + SIZED],
    ['a body of a 204', 'HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello'],
    ['a chunk size with 0x', inChunks('0x5\r\nhello\r\n0\r\n\r\n')],
    ['a negative chunk size', inChunks('-1\r\nhello\r\n0\r\n\r\n')],
    ['a chunk size with a sign', inChunks('+5\r\nhello\r\n0\r\n\r\n')],
    ['a chunk size with more behind it', inChunks('5 x\r\nhello\r\n0\r\n\r\n')],
    ['a chunk size after a space', inChunks(' 5\r\nhello\r\n0\r\n\r\n')],
    ['a chunk size that is no hex', inChunks('g\r\nhello\r\n0\r\n\r\n')],
    ['no chunk size', inChunks('\r\nhello\r\n0\r\n\r\n')],
    ['no chunk size but an extension', inChunks(';a\r\nhello\r\n0\r\n\r\n')],
    ['a chunk size of 13 digits', inChunks(`${'0'.repeat(12)}5\r\nhello\r\n0\r\n\r\n`)],
    ['a chunk size of 17 digits', inChunks('10000000000000005\r\nhello\r\n0\r\n\r\n')],
    ['a chunk size that ends in a line feed', inChunks('5\nhello\r\n0\r\n\r\n')],
    ['an extension with a line feed', inChunks('5;a\nb\r\nhello\r\n0\r\n\r\n')],
    ['an extension with NUL', inChunks('5;a=\0\r\nhello\r\n0\r\n\r\n')],
    ['a chunk longer than was said', inChunks('5\r\nhello!\r\n0\r\n\r\n')],
    ['a chunk that ends in two other bytes', inChunks('5\r\nhelloxx0\r\n\r\n')],
    ['a chunk that ends in a line feed', inChunks('5\r\nhello\n0\r\n\r\n')],
    ['a chunk that ends in a carriage return', inChunks('5\r\nhello\r0\r\n\r\n')],
    ['more than the last chunk', inChunks('0\r\n\r\nx')],
    ['a trailer without a name', inChunks('0\r\n: a\r\n\r\n')],
    ['a trailer that goes on in the next line', inChunks('0\r\nA: b\r\n c\r\n\r\n')],
    ['a trailer with a bare line feed', inChunks('0\r\nA: b\nc: d\r\n\r\n')],
    ['a head over 16 KiB', withFields(`A: ${LONG}`)],
    ['a status line over 16 KiB', `HTTP/1.1 200 ${LONG}\r\n\r\n`],
    ['a chunk line over 16 KiB', inChunks(`5;${LONG}\r\nhello\r\n0\r\n\r\n`)],
    ['trailers over 16 KiB', inChunks(`0\r\nA: ${LONG}\r\n\r\n`)],
  ])('%s', (_, text) => {
    expect(readAnswer({ pieces: [text] }).events.at(-1)).toEqual(REFUSED)
    expect(readAnswer({ pieces: text.split('') }).events.at(-1)).toEqual(REFUSED)
  })

  test.each([
    ['a head', 'HTTP/1.1 200 OK\r\nA: '],
    ['a chunk line', inChunks('5;')],
    ['trailers', inChunks('0\r\nA: ')],
  ])('%s without an end, before it has all been kept', (_, text) => {
    const { events } = readAnswer({ pieces: [text, ...Array<string>(17).fill('x'.repeat(1024))] })
    expect(events.at(-1)).toEqual(REFUSED)
  })

  test('a head is not for its length, up to 16 KiB, however it comes', () => {
    const start = 'HTTP/1.1 204 No Content\r\nA: '
    const head = `${start}${'x'.repeat(16_384 - start.length)}\r\n\r\n`
    for (let cut = head.length - 5; cut <= head.length; cut += 1) {
      const { events } = readAnswer({ pieces: [head.slice(0, cut), head.slice(cut)] })
      expect(events.at(-1)).toEqual({ end: [] })
    }
  })
})

test('an answer is read the same way in whatever pieces it comes', () => {
  fc.assert(
    fc.property(
      mutatedAnswers,
      fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 12 }),
      ({ method, text }, parts) => {
        const cuts = parts.map((part) => Math.floor(part * text.length)).toSorted((a, b) => a - b)
        const pieces = [0, ...cuts].map((from, i) => text.slice(from, cuts[i] ?? text.length))
        const whole = readAnswer({ method, pieces: [text] })
        expect(readAnswer({ method, pieces })).toEqual(whole)
        expect(readAnswer({ method, pieces: text.split('') })).toEqual(whole)
      },
    ),
    { numRuns: 500 },
  )
})

test('an answer as RFC 9112 has it is never refused', () => {
  fc.assert(
    fc.property(wellFormedAnswers, ({ method, text }) => {
      const { events } = readAnswer({ method, pieces: [text] })
      expect(events.at(-1)).toHaveProperty('end')
    }),
    { numRuns: 500 },
  )
})
