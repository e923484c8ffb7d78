import * as fc from 'fast-check'

/** An answer as a model server may write it, to a request of that method. */
export type ModelAnswer = { method: string; text: string }

type Plan = {
  method: string
  version: string
  status: number
  reason: string
  before: string[]
  fields: string[]
  framing: 'sized' | 'chunked' | 'until close'
  pieces: { text: string; extension: string }[]
  trailers: string[]
}

/** Bytes, one a character. */
const bytes = (maxLength: number) =>
  fc.uint8Array({ minLength: 1, maxLength }).map((array) => Buffer.from(array).toString('latin1'))

const field = fc.constantFrom(
  'Content-Type: application/json',
  'content-type:text/event-stream',
  'X-Empty:',
  'X-Odd_!#$%: a,b;c="d"',
  'Server: \t uvicorn \t',
  'X-Latin: caf\xe9',
  'Set-Cookie: a=b',
  'Set-Cookie: c=d',
  'Keep-Alive: timeout=5, max=100',
  'Connection: keep-alive',
  'Connection: close',
)
const trailer = fc.constantFrom('X-Sum: 1', 'X-Empty:', 'Server-Timing: total;dur=1.5', 'etag:"a"')

/** Of each kind that RFC 9112 has, written as it says. */
export const wellFormedAnswers: fc.Arbitrary<ModelAnswer> = fc
  .record<Plan>({
    method: fc.constantFrom('GET', 'POST', 'POST', 'POST', 'HEAD'),
    version: fc.constantFrom('1.1', '1.1', '1.1', '1.1', '1.0'),
    status: fc.constantFrom(200, 200, 200, 201, 204, 206, 304, 404, 418, 500, 503, 599),
    reason: fc.constantFrom(' OK', ' ', '', ' No, and \xfcber all that'),
    before: fc.array(
      fc.constantFrom(
        'HTTP/1.1 100 Continue\r\n\r\n',
        'HTTP/1.1 102 Processing\r\nX-A: b\r\n\r\n',
        'HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n',
      ),
      { maxLength: 2 },
    ),
    fields: fc.array(field, { maxLength: 4 }),
    framing: fc.constantFrom('sized', 'chunked', 'chunked', 'until close'),
    pieces: fc.array(
      fc.record({
        text: fc.oneof(bytes(20), fc.constantFrom('\r\n', '0\r\n\r\n', 'HTTP/1.1 200 OK\r\n\r\n')),
        extension: fc.constantFrom('', '', ';a', ';a=b', ';a="b c"', ';a=b;c'),
      }),
      { maxLength: 4 },
    ),
    trailers: fc.array(trailer, { maxLength: 2 }),
  })
  .map((plan) => ({ method: plan.method, text: textOf(plan) }))

function textOf(plan: Plan): string {
  const { method, version, status, reason, before, fields, pieces, trailers } = plan
  const framing = version === '1.0' && plan.framing === 'chunked' ? 'sized' : plan.framing
  const isEmpty = method === 'HEAD' || status === 204 || status === 304
  const whole = pieces.map(({ text }) => text).join('')
  const said = {
    sized: [`Content-Length: ${whole.length}`],
    chunked: ['Transfer-Encoding: chunked'],
    'until close': [],
  }
  const body = {
    sized: whole,
    chunked: `${pieces.map(chunkOf).join('')}0\r\n${linesOf(trailers)}\r\n`,
    'until close': whole,
  }
  const head = `HTTP/${version} ${status}${reason}\r\n${linesOf([...fields, ...said[framing]])}\r\n`
  return before.join('') + head + (isEmpty ? '' : body[framing])
}

const chunkOf = ({ text, extension }: Plan['pieces'][number]): string =>
  `${text.length.toString(16)}${extension}\r\n${text}\r\n`

const linesOf = (fields: readonly string[]): string => fields.map((line) => `${line}\r\n`).join('')

/** What two readers of HTTP may read in two ways. */
const ODD = [
  '\r',
  '\n',
  '\r\n',
  '\r\n\r\n',
  '\0',
  ' ',
  '\t',
  ':',
  ';',
  ',',
  '0',
  '1',
  'f',
  '-',
  '+',
  '0x',
  '\x7f',
  '\x80',
  'Content-Length: 3\r\n',
  'Transfer-Encoding: chunked\r\n',
  'Transfer-Encoding: gzip, chunked\r\n',
  'Connection: close\r\n',
  ' folded\r\n',
  '5\r\nhello\r\n',
  '0\r\n\r\n',
  'HTTP/1.1 200 OK\r\n\r\n',
  'HTTP/1.1 100 Continue\r\n\r\n',
]

const change = fc.record({
  /** Where, as a part of the whole; mostly at the next place where something begins or ends. */
  at: fc.double({ min: 0, max: 1, noNaN: true }),
  isAtSeam: fc.nat({ max: 4 }).map((n) => n > 0),
  without: fc.constantFrom(0, 0, 0, 1, 2, 3),
  insert: fc.oneof(fc.constantFrom('', ' ', '\t'), fc.constantFrom(...ODD), bytes(1)),
})
const SEAM = /\r|\n|(?<=\n)|[:;, =]|(?<=[:;, =])/g

/** Some as they should be, most with a fault or a few. */
export const mutatedAnswers: fc.Arbitrary<ModelAnswer> = fc
  .tuple(wellFormedAnswers, fc.array(change, { maxLength: 2 }))
  .map(([{ method, text }, changes]) => ({
    method,
    text: changes.reduce((changed, { at, isAtSeam, without, insert }) => {
      const seams = isAtSeam ? [...changed.matchAll(SEAM)].map(({ index }) => index) : []
      const index = seams[Math.floor(at * seams.length)] ?? Math.floor(at * changed.length)
      return changed.slice(0, index) + insert + changed.slice(index + without)
    }, text),
  }))
