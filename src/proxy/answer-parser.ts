import { ExchangeError } from './exchange-error.ts'

/** A flat list of names, in lower case, and values. */
export type FieldList = readonly string[]

export type AnswerListener = {
  /** The answer begins: those that only inform (1xx) are passed over. */
  onHead: (status: number, headers: FieldList) => void
  /** Some of its body; the bytes are the listener's only until it returns. */
  onChunk: (chunk: Buffer) => void
  /** It is whole. */
  onEnd: (trailers: FieldList) => void
}

/** What is being read, and how far it has to be there before any of it is. */
type Stage = 'head' | 'sized' | 'chunk size' | 'chunk' | 'chunk end' | 'trailers' | 'until close'

/** Of a head, of trailers, or of the line before a chunk. */
const MAX_SECTION_BYTES = 16_384
const LINE_END = Buffer.from('\r\n')
const SECTION_END = Buffer.from('\r\n\r\n')
const NOTHING = Buffer.alloc(0)
const NO_FIELDS: FieldList = []

const STATUS_LINE = /^HTTP\/1\.([01]) ([1-9]\d\d)(?: [\t\x20-\x7e\x80-\xff]*)?$/
const FIELD_NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/
/** RFC 9110 §5.5; line ends have been taken out where they may be. */
const NO_FIELD_VALUE = /[^\t\x20-\x7e\x80-\xff]/
const CONTENT_LENGTH = /^\d{1,15}$/
const CHUNK_SIZE = /^([0-9A-Fa-f]{1,12})[ \t]*(?:;[\t\x20-\x7e\x80-\xff]*)?$/
const KEEP_ALIVE_SECONDS = /(?:^|[,;\s])timeout=(\d{1,6})(?:$|[,;\s])/i

export type AnswerParser = {
  /** The next answer is to a request of that method. */
  begin: (method: string) => void
  read: (bytes: Buffer) => void
  /** The connection has been closed in an orderly way, which ends an answer that does not say how long it is; or none. */
  close: () => void
  /** Whether the connection may be used again, and for how long the server keeps it, by what the last answer said. */
  persistence: () => Persistence
}

export type Persistence = { staysOpen: boolean; keepAliveSeconds: number | undefined }

/**
 * Reads the answers that come on one connection, one after the other (RFC 9112): where one ends, there is only one way to read it.
 * `read` fails with an ExchangeError `UPSTREAM_MALFORMED` for what is none or could be read in two ways, and is of no use after that.
 */
export function createAnswerParser(listener: AnswerListener): AnswerParser {
  let stage: Stage = 'head'
  /** Of a head or a line that is not all there. */
  let rest = NOTHING
  /** Of the body, or of its chunk. */
  let bytesLeft = 0
  let isToHead = false
  let isOver = true
  let persistence: Persistence = { staysOpen: true, keepAliveSeconds: undefined }

  function read(bytes: Buffer): void {
    const input = rest.length === 0 ? bytes : Buffer.concat([rest, bytes])
    rest = NOTHING
    let at = 0
    while (at < input.length) {
      if (isOver) throw malformed()
      const next = readOn(input, at)
      if (next === -1) {
        // Its end may be there but for a byte: as much is read in pieces as in one.
        if (input.length - at >= MAX_SECTION_BYTES + SECTION_END.length) throw malformed()
        rest = Buffer.from(input.subarray(at))
        return
      }
      at = next
    }
  }

  /** Gives where to go on, or -1 when that takes more than is there. */
  function readOn(input: Buffer, at: number): number {
    switch (stage) {
      case 'head':
        return readHead(input, at)
      case 'sized':
      case 'chunk':
        return readBytes(input, at)
      case 'chunk size':
        return readChunkSize(input, at)
      case 'chunk end':
        return readChunkEnd(input, at)
      case 'trailers':
        return readTrailers(input, at)
      case 'until close':
        listener.onChunk(input.subarray(at))
        return input.length
    }
  }

  function readHead(input: Buffer, at: number): number {
    const end = input.indexOf(SECTION_END, at)
    if (end === -1) return -1
    if (end - at > MAX_SECTION_BYTES) throw malformed()
    const text = input.toString('latin1', at, end)
    const [statusLine = ''] = text.split('\r\n', 1)
    const [, minor, digits] = STATUS_LINE.exec(statusLine) ?? []
    if (digits === undefined) throw malformed()
    const status = Number(digits)
    if (status === 101) throw malformed()
    const headers = parseFields(text, statusLine.length + LINE_END.length)
    // What only informs is passed over: the answer is still to come.
    if (status >= 200) beginAnswer(status, headers, minor === '1')
    return end + SECTION_END.length
  }

  /** RFC 9112 §6.3. */
  function beginAnswer(status: number, headers: FieldList, isVersion11: boolean): void {
    const { contentLength, isChunked, isLast, keepAliveSeconds } = framingOf(headers)
    if (isChunked && !isVersion11) throw malformed()
    const hasBody = !isToHead && status !== 204 && status !== 304 && contentLength !== 0
    const hasEnd = !hasBody || isChunked || contentLength !== undefined
    persistence = { staysOpen: isVersion11 && !isLast && hasEnd, keepAliveSeconds }
    listener.onHead(status, headers)
    if (!hasBody) return end(NO_FIELDS)
    stage = isChunked ? 'chunk size' : hasEnd ? 'sized' : 'until close'
    bytesLeft = contentLength ?? 0
  }

  function readBytes(input: Buffer, at: number): number {
    const to = Math.min(input.length, at + bytesLeft)
    bytesLeft -= to - at
    listener.onChunk(input.subarray(at, to))
    if (bytesLeft > 0) return to
    if (stage === 'chunk') stage = 'chunk end'
    else end(NO_FIELDS)
    return to
  }

  function readChunkSize(input: Buffer, at: number): number {
    const lineEnd = input.indexOf(LINE_END, at)
    if (lineEnd === -1) return -1
    if (lineEnd - at > MAX_SECTION_BYTES) throw malformed()
    const [, digits] = CHUNK_SIZE.exec(input.toString('latin1', at, lineEnd)) ?? []
    if (digits === undefined) throw malformed()
    bytesLeft = Number.parseInt(digits, 16)
    stage = bytesLeft === 0 ? 'trailers' : 'chunk'
    // Where there are no trailers, this line's end is half of theirs.
    return bytesLeft === 0 ? lineEnd : lineEnd + LINE_END.length
  }

  function readChunkEnd(input: Buffer, at: number): number {
    if (input.length - at < LINE_END.length) return -1
    if (input.indexOf(LINE_END, at) !== at) throw malformed()
    stage = 'chunk size'
    return at + LINE_END.length
  }

  function readTrailers(input: Buffer, at: number): number {
    const sectionEnd = input.indexOf(SECTION_END, at)
    if (sectionEnd === -1) return -1
    if (sectionEnd - at > MAX_SECTION_BYTES) throw malformed()
    end(parseFields(input.toString('latin1', at, sectionEnd), LINE_END.length))
    return sectionEnd + SECTION_END.length
  }

  function end(trailers: FieldList): void {
    isOver = true
    listener.onEnd(trailers)
  }

  return {
    begin(method) {
      stage = 'head'
      isToHead = method === 'HEAD'
      isOver = false
    },
    read,
    close() {
      if (!isOver && stage === 'until close') end(NO_FIELDS)
    },
    persistence: () => persistence,
  }
}

/** RFC 9112 §5: a line that goes on in the next is none. */
function parseFields(text: string, from: number): FieldList {
  const fields: string[] = []
  let at = from
  while (at < text.length) {
    const found = text.indexOf('\r\n', at)
    const end = found === -1 ? text.length : found
    const colon = text.indexOf(':', at)
    if (colon === -1 || colon > end) throw malformed()
    const name = text.slice(at, colon)
    const value = trimmed(text, colon + 1, end)
    if (!FIELD_NAME.test(name) || NO_FIELD_VALUE.test(value)) throw malformed()
    fields.push(name.toLowerCase(), value)
    at = end + 2
  }
  return fields
}

/** Without the optional whitespace around a value (RFC 9110 §5.6.3). */
function trimmed(text: string, from: number, to: number): string {
  let [start, end] = [from, to]
  while (start < end && isBlank(text.charCodeAt(start))) start += 1
  while (end > start && isBlank(text.charCodeAt(end - 1))) end -= 1
  return text.slice(start, end)
}

const isBlank = (code: number): boolean => code === 0x20 || code === 0x09

type Framing = {
  contentLength: number | undefined
  isChunked: boolean
  /** Whether the connection ends with this answer. */
  isLast: boolean
  keepAliveSeconds: number | undefined
}

function framingOf(headers: FieldList): Framing {
  const framing: Framing = {
    contentLength: undefined,
    isChunked: false,
    isLast: false,
    keepAliveSeconds: undefined,
  }
  for (let i = 0; i + 1 < headers.length; i += 2) {
    const value = headers[i + 1] ?? ''
    switch (headers[i] ?? '') {
      case 'content-length':
        if (framing.contentLength !== undefined || !CONTENT_LENGTH.test(value)) {
          throw malformed()
        }
        framing.contentLength = Number(value)
        break
      case 'transfer-encoding':
        if (framing.isChunked || value.toLowerCase() !== 'chunked') {
          throw malformed()
        }
        framing.isChunked = true
        break
      case 'connection':
        if (/(?:^|[,\s])close(?:$|[,\s])/i.test(value)) framing.isLast = true
        break
      case 'keep-alive': {
        const seconds = KEEP_ALIVE_SECONDS.exec(value)?.[1]
        if (seconds !== undefined) framing.keepAliveSeconds = Number(seconds)
      }
    }
  }
  if (framing.isChunked && framing.contentLength !== undefined) {
    throw malformed()
  }
  return framing
}

const malformed = (): ExchangeError => new ExchangeError('UPSTREAM_MALFORMED')
