import { Readable } from 'node:stream'
import { AppError } from '../kernel/errors.ts'
import { AnswerPassage, type AnswerTarget } from './answer-passage.ts'
import type { FieldList } from './answer-parser.ts'
import { ClientGone } from './client-gone.ts'
import type { RequestBody } from './request-body.ts'
import { upstreamFailureOf, type UpstreamFailure } from './upstream-failure.ts'
import type { Trailers } from './trailers.ts'
import type { ExchangeControl, ExchangeListener } from './upstream-connection.ts'
import type { Upstream } from './upstream.ts'
import type { Upstreams } from './upstreams.ts'

export type UpstreamRequest = {
  method: string
  /** The request target exactly as it came in. */
  target: string
  /** Header lines with their ends. */
  headers: string
  /** Whether one of them is `Content-Length`. */
  isSized: boolean
  body: RequestBody
  /** Behind a body in chunks, once that has ended. */
  trailers: () => Trailers
}

/** Whether a model server has had the request, as a whole unless it answers before; and has answered all of it. */
export type Progress = { stage: 'unsent' | 'sent' | 'answered' }

/** One request and its answer, whichever model server gives it. */
export type Exchange = AnswerTarget & {
  progress: Progress
  /** How long the model server may take to begin; `idleMs` is for either side to go on. */
  firstByteMs: number
  /** Are told how the model server did, and know others. */
  upstreams: Pick<Upstreams, 'answered' | 'progressed' | 'abandoned' | 'failed' | 'move'>
}

export const isQuestion = (method: string): boolean => method === 'GET' || method === 'HEAD'

/**
 * Has the request answered by that model server. How the server failed is what it resolves with; it rejects with what is not
 * the server's doing: the reason of the call's ending, or the body's own AppError or ClientGone.
 */
export function attempt(
  exchange: Exchange,
  upstream: Upstream,
  request: UpstreamRequest,
): Promise<UpstreamFailure | undefined> {
  return new Promise((resolve, reject) => {
    exchange.ending.throwIfEnded()
    new Attempt(exchange, upstream, request, { resolve, reject }).dispatch()
  })
}

type Outcome = {
  resolve: (failure?: UpstreamFailure) => void
  reject: (error: unknown) => void
}

class Attempt implements ExchangeListener {
  readonly #exchange: Exchange
  readonly #upstream: Upstream
  readonly #request: UpstreamRequest
  readonly #outcome: Outcome
  readonly #answer: AnswerPassage
  readonly #body: Readable | Buffer | null
  readonly #isWork: boolean
  #control: ExchangeControl | undefined
  #isTaken = false

  constructor(exchange: Exchange, upstream: Upstream, request: UpstreamRequest, outcome: Outcome) {
    this.#exchange = exchange
    this.#upstream = upstream
    this.#request = request
    this.#outcome = outcome
    this.#answer = new AnswerPassage(exchange)
    this.#body = typeof request.body === 'function' ? request.body() : request.body
    this.#isWork = !isQuestion(request.method)
  }

  dispatch(): void {
    const { ending, firstByteMs, idleMs } = this.#exchange
    const { method, target, headers, isSized, trailers } = this.#request
    const { pool, authorization } = this.#upstream
    ending.on(this.#onEnding)
    if (this.#body instanceof Readable) this.#body.once('end', () => this.#markSent())
    this.#control = pool.dispatch(
      {
        method,
        target,
        headers: headers + authorization,
        isSized,
        body: this.#body,
        trailers,
        firstByteMs,
        idleMs,
      },
      this,
    )
  }

  onTaken(): void {
    this.#isTaken = true
    if (!(this.#body instanceof Readable)) this.#markSent()
  }

  onHead(status: number, headers: FieldList): void {
    this.#markSent()
    this.#exchange.upstreams.answered(this.#upstream, this.#isWork)
    this.#answer.begin(status, headers)
  }

  onChunk(chunk: Buffer): void {
    if (this.#isWork) this.#exchange.upstreams.progressed(this.#upstream)
    this.#answer.pass(chunk, this.#control)
  }

  onEnd(trailers: FieldList): void {
    this.#exchange.progress.stage = 'answered'
    this.#stopListening()
    this.#answer.end(trailers, this.#outcome)
  }

  onError(error: Error): void {
    if (error instanceof AppError || error instanceof ClientGone) return this.#fail(error)
    const { firstByteMs, idleMs, upstreams } = this.#exchange
    const failure = upstreamFailureOf(error, this.#isTaken)
    const deadlineMs = failure.code === 'UPSTREAM_FIRST_BYTE_TIMEOUT' ? firstByteMs : idleMs
    const isWorkUndone = this.#isWork && !this.#answer.hasHead
    upstreams.failed(this.#upstream, { ...failure, deadlineMs, isWorkUndone })
    this.#stopListening()
    this.#outcome.resolve(failure)
  }

  #markSent(): void {
    const { progress } = this.#exchange
    if (progress.stage === 'unsent') progress.stage = 'sent'
  }

  readonly #onEnding = (reason: Error): void => {
    const { progress, upstreams, firstByteMs, idleMs } = this.#exchange
    const isAwaited = progress.stage === 'sent' && !this.#answer.isClientBehind
    if (reason instanceof ClientGone && this.#isWork && isAwaited) {
      upstreams.abandoned(this.#upstream, this.#answer.hasHead ? idleMs : firstByteMs)
    }
    this.#control?.abort(reason)
  }

  #fail(reason: Error): void {
    this.#stopListening()
    this.#outcome.reject(reason)
  }

  #stopListening(): void {
    this.#exchange.ending.off(this.#onEnding)
  }
}
