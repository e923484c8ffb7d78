import type { IncomingHttpHeaders, ServerResponse } from 'node:http'
import { Readable } from 'node:stream'
import type { Dispatcher } from 'undici'
import { AppError } from '../kernel/errors.ts'
import { addTrailers, contentLengthOf, responseHeaders } from './answer-headers.ts'
import { ClientGone } from './client-gone.ts'
import type { RequestBody } from './request-body.ts'
import { upstreamFailureOf, type UpstreamFailure } from './upstream-failure.ts'
import type { Slot, Upstream } from './upstream.ts'
import type { Upstreams } from './upstreams.ts'

export type UpstreamRequest = {
  method: string
  /** The request target exactly as it came in. */
  target: string
  /** A flat list of names and values. */
  headers: string[]
  body: RequestBody
}

/** Responses up to here are written together with their headers. */
const ONE_WRITE_UP_TO_BYTES = 65_536

/** Is shown the answer as it passes, and changes nothing of it. */
export type AnswerObserver = {
  onHeaders: (status: number, headers: IncomingHttpHeaders) => void
  onChunk: (chunk: Buffer) => void
}

/** Whether a model server has had the request, as a whole unless it answers before; and the client, all of the answer. */
export type Progress = { stage: 'unsent' | 'sent' | 'answered' }

export type Exchange = {
  res: ServerResponse
  /** Headers of ours in the answer, by their names in lower case. */
  ownHeaders: Readonly<Record<string, string>>
  /** Where what was passed on of the answer is counted. */
  bytes: { out: number }
  progress: Progress
  /** How long the model server may take to begin, and either side to go on. */
  firstByteMs: number
  idleMs: number
  /** Ends the exchange; its reason, an AppError, is what `forward` fails with. */
  signal: AbortSignal
  /** Are told how the model server did, and know others. */
  upstreams: Pick<Upstreams, 'answered' | 'progressed' | 'abandoned' | 'failed' | 'move'>
  observer?: AnswerObserver | undefined
}

/**
 * Sends the request and streams the answer back, with backpressure both ways; settles when the exchange is over. Fails
 * with `upstream_unreachable`, `upstream_timeout`, the body's own AppError, or ClientGone, also for a client that takes
 * nothing for `idleMs`. What no connection has taken goes to the next model server; a GET that an idle connection
 * swallowed, unless its body was streamed, is sent once more (RFC 9110 §9.2.2).
 */
export async function forward(
  exchange: Exchange,
  slot: Slot,
  request: UpstreamRequest,
): Promise<void> {
  let failure = await attempt(exchange, slot.upstream, request)
  if (failure === undefined) return
  const tried = new Set<Upstream>()
  const moveOn = () => exchange.upstreams.move(slot, tried.add(slot.upstream))
  if (isSwallowed(failure, exchange, request)) {
    moveOn()
    failure = await attempt(exchange, slot.upstream, request)
  }
  while (failure?.kind === 'unreachable' && moveOn()) {
    failure = await attempt(exchange, slot.upstream, request)
  }
  if (failure !== undefined) throw failure.error
}

function isSwallowed(
  { kind }: UpstreamFailure,
  { res }: Exchange,
  { method, body }: UpstreamRequest,
): boolean {
  // Of a body that is streamed some may be gone.
  const isWhole = typeof body !== 'function'
  return kind === 'broken_off' && isQuestion(method) && isWhole && !res.headersSent
}

export const isQuestion = (method: string): boolean => method === 'GET' || method === 'HEAD'

/** Fails with what is not the model server's doing; how that failed is what it resolves with. */
async function attempt(
  exchange: Exchange,
  upstream: Upstream,
  { method, target, headers, body }: UpstreamRequest,
): Promise<UpstreamFailure | undefined> {
  const { res, ownHeaders, bytes, progress, firstByteMs, idleMs } = exchange
  const { signal, upstreams, observer } = exchange
  if (res.closed) throw new ClientGone()
  signal.throwIfAborted()
  const { authorization } = upstream
  return new Promise((resolve, reject) => {
    let controller: Dispatcher.DispatchController | undefined
    let isGone = false
    let bodyLength: number | undefined
    const isWork = !isQuestion(method)

    const onClose = () => {
      if (res.writableFinished) return
      isGone = true
      if (isWork && progress.stage === 'sent') {
        upstreams.abandoned(upstream, res.headersSent ? idleMs : firstByteMs)
      }
      leave(new ClientGone())
    }
    const onAbort = () => leave(signal.reason)
    // One that still waits for a connection has no controller yet, and need not wait for it.
    const leave = (reason: Error) => {
      controller?.abort(reason)
      fail(reason)
    }
    const stopListening = () => {
      res.off('close', onClose)
      signal.removeEventListener('abort', onAbort)
    }
    const fail = (reason: Error) => {
      stopListening()
      reject(reason)
    }
    const end = (failure?: UpstreamFailure) => {
      stopListening()
      resolve(failure)
    }
    res.once('close', onClose)
    signal.addEventListener('abort', onAbort)
    const opened = typeof body === 'function' ? body() : body
    const markSent = () => {
      if (progress.stage === 'unsent') progress.stage = 'sent'
    }
    if (opened instanceof Readable) opened.once('end', markSent)
    upstream.pool.dispatch(
      {
        method,
        path: target,
        headers:
          authorization === undefined ? headers : [...headers, 'authorization', authorization],
        body: opened,
        headersTimeout: firstByteMs,
        bodyTimeout: idleMs,
      },
      {
        onRequestStart(started) {
          controller = started
          if (isGone) started.abort(new ClientGone())
          else if (signal.aborted) started.abort(signal.reason)
          else if (!(opened instanceof Readable)) markSent()
        },
        onResponseStart(_controller, status, upstreamHeaders) {
          // Informational: the answer is still to come.
          if (status < 200) return
          markSent()
          upstreams.answered(upstream, isWork)
          observer?.onHeaders(status, upstreamHeaders)
          bodyLength = contentLengthOf(upstreamHeaders)
          res.writeHead(status, responseHeaders(upstreamHeaders, ownHeaders, res))
          const isShort = bodyLength !== undefined && bodyLength <= ONE_WRITE_UP_TO_BYTES
          if (!isShort) res.flushHeaders()
        },
        onResponseData(paused, chunk) {
          if (isWork) upstreams.progressed(upstream)
          bytes.out += chunk.length
          observer?.onChunk(chunk)
          if (chunk.length === bodyLength) res.end(chunk)
          else if (!res.write(chunk)) pauseUntilDrained(res, paused, idleMs)
        },
        onResponseEnd(_controller, trailers) {
          progress.stage = 'answered'
          addTrailers(res, trailers)
          res.end()
          end()
        },
        onResponseError(_controller, error) {
          if (isGone) fail(new ClientGone())
          else if (error instanceof AppError || error instanceof ClientGone) fail(error)
          else {
            const failure = upstreamFailureOf(error, controller !== undefined)
            const deadlineMs = failure.code === 'UND_ERR_HEADERS_TIMEOUT' ? firstByteMs : idleMs
            const isWorkUndone = isWork && !res.headersSent
            upstreams.failed(upstream, { ...failure, deadlineMs, isWorkUndone })
            end(failure)
          }
        },
      },
    )
  })
}

/** Waits for the client to take what it has been sent; one that takes nothing does not keep the model server. */
function pauseUntilDrained(
  res: ServerResponse,
  upstream: Dispatcher.DispatchController,
  idleMs: number,
): void {
  upstream.pause()
  const stuck = setTimeout(() => res.destroy(), idleMs)
  const goOn = () => {
    clearTimeout(stuck)
    res.off('drain', goOn).off('close', goOn)
    upstream.resume()
  }
  res.on('drain', goOn).on('close', goOn)
}
