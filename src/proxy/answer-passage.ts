import type { IncomingHttpHeaders, ServerResponse } from 'node:http'
import { inCohorts } from '../kernel/cohorts.ts'
import { fieldIn, responseHeaders } from './answer-headers.ts'
import type { FieldList } from './answer-parser.ts'
import type { Ending } from './ending.ts'
import { forwardableTrailers } from './trailers.ts'
import type { ExchangeControl } from './upstream-connection.ts'

/** What an answer's body is, by its headers. */
export type BodyHeaders = Pick<IncomingHttpHeaders, 'content-type' | 'content-encoding'>

/** Is shown the answer as it passes, and changes nothing of it. */
export type AnswerObserver = {
  onHeaders: (status: number, headers: BodyHeaders) => void
  onChunk: (chunk: Buffer) => void
}

/** Whose answer it is. */
export type AnswerTarget = {
  res: ServerResponse
  /** Ours in the answer. */
  ownHeaders: FieldList
  /** Where what was passed on is counted. */
  bytes: { out: number }
  /** How long the client may take nothing. */
  idleMs: number
  ending: Ending
  observer?: AnswerObserver | undefined
}

/** Is told that the client has been given everything, or why not. */
export type Passed = { resolve: () => void; reject: (reason: unknown) => void }

/** What is no longer is passed on together with its headers, if it came in one piece. */
const ONE_WRITE_UP_TO_BYTES = 65_536

/** An answer that is all there, before any of it was passed on. */
type Whole = {
  status: number
  headers: FieldList
  body: Buffer | undefined
  target: AnswerTarget
  passed: Passed
}

/** Clients have their answers before anybody looks into them. */
const passWhole = inCohorts(
  orReject(send),
  orReject((whole) => {
    observe(whole)
    whole.passed.resolve()
  }),
)

/** What goes wrong is this call's fault, and no other's of the cohort. */
function orReject(work: (whole: Whole) => void): (whole: Whole) => void {
  return (whole) => {
    try {
      work(whole)
    } catch (error) {
      whole.passed.reject(error)
    }
  }
}

function send({ status, headers, body, target }: Whole): void {
  const { res, bytes, ending } = target
  ending.throwIfEnded()
  bytes.out += body?.length ?? 0
  sendHead(target, status, headers)
  res.end(body)
}

/** What the model server has done counts also when nobody wants it any more. */
function observe({ status, headers, body, target: { observer } }: Whole): void {
  observer?.onHeaders(status, bodyHeadersOf(headers))
  if (body !== undefined) observer?.onChunk(body)
}

/** The way of an answer to the client: chunk by chunk, with backpressure; a short one in one piece, in a cohort. */
export class AnswerPassage {
  readonly #target: AnswerTarget
  /** Of a short answer, until its body comes in pieces. */
  #held: { status: number; headers: FieldList; length: number } | undefined
  #body: Buffer | undefined
  #connection: string | undefined
  /** While the client is behind. */
  #goOn: (() => void) | undefined

  constructor(target: AnswerTarget) {
    this.#target = target
  }

  /** Whether the model server has begun to answer; the client may not know of it. */
  get hasHead(): boolean {
    return this.#held !== undefined || this.#target.res.headersSent
  }

  /** Meanwhile nobody reads what the model server has to say. */
  get isClientBehind(): boolean {
    return this.#goOn !== undefined
  }

  begin(status: number, headers: FieldList): void {
    const length = fieldIn(headers, 'content-length')
    if (length !== undefined && Number(length) <= ONE_WRITE_UP_TO_BYTES) {
      this.#held = { status, headers, length: Number(length) }
      return
    }
    this.#beginStream(status, headers)
    this.#target.res.flushHeaders()
  }

  /** The chunk is somebody else's again as soon as this returns. */
  pass(chunk: Buffer, upstream: ExchangeControl | undefined): void {
    const { res, bytes, observer } = this.#target
    if (this.#held !== undefined) {
      if (chunk.length === this.#held.length) {
        this.#body = Buffer.from(chunk)
        return
      }
      this.#beginStream(this.#held.status, this.#held.headers)
      this.#held = undefined
    }
    bytes.out += chunk.length
    observer?.onChunk(chunk)
    if (!res.write(Buffer.from(chunk)) && upstream !== undefined) this.#pauseUntilDrained(upstream)
  }

  end(trailers: FieldList, passed: Passed): void {
    const target = this.#target
    if (this.#held !== undefined) {
      const { status, headers } = this.#held
      return passWhole({ status, headers, body: this.#body, target, passed })
    }
    // How long it may leave what is there is for its connection to say.
    this.#goOn?.()
    try {
      // Those that came in chunks may have them.
      if (trailers.length > 0) {
        target.res.addTrailers(forwardableTrailers(trailers, this.#connection))
      }
      target.res.end()
      passed.resolve()
    } catch (error) {
      passed.reject(error)
    }
  }

  /** Waits for the client to take what it has been sent; one that takes nothing does not keep the model server. */
  #pauseUntilDrained(upstream: ExchangeControl): void {
    // What has been read already still comes.
    if (this.#goOn !== undefined) return
    const { res, idleMs } = this.#target
    upstream.pause()
    const stuck = setTimeout(() => res.destroy(), idleMs)
    const goOn = () => {
      this.#goOn = undefined
      clearTimeout(stuck)
      res.off('drain', goOn).off('close', goOn)
      upstream.resume()
    }
    this.#goOn = goOn
    res.on('drain', goOn).on('close', goOn)
  }

  #beginStream(status: number, headers: FieldList): void {
    this.#connection = fieldIn(headers, 'connection')
    this.#target.observer?.onHeaders(status, bodyHeadersOf(headers))
    sendHead(this.#target, status, headers)
  }
}

const bodyHeadersOf = (headers: FieldList): BodyHeaders => ({
  'content-type': fieldIn(headers, 'content-type'),
  'content-encoding': fieldIn(headers, 'content-encoding'),
})

function sendHead({ res, ownHeaders }: AnswerTarget, status: number, headers: FieldList): void {
  res.writeHead(status, responseHeaders(headers, ownHeaders, res))
}
