import type { IncomingMessage } from 'node:http'
import { Readable } from 'node:stream'
import { AppError } from '../kernel/errors.ts'
import { ClientGone } from './client-gone.ts'
import type { RequestHeaders } from './request-headers.ts'

/** Up to here a body is collected and sent in one write, which costs a third less than streaming it. */
const COLLECT_UP_TO_BYTES = 65_536

/** A function opens a body that is streamed; nothing of it is read before somebody reads what it gives. */
export type RequestBody = Buffer | (() => Readable) | null

export type BodyLimits = {
  maxBytes: number
  idleMs: number
  bytes: { in: number }
  /** Is shown the body as it passes. */
  onChunk: (chunk: Buffer) => void
  /** Is told how much of a large one has passed. */
  onSpent: (bytes: number) => void
  /** Ends the wait for a small one. */
  signal: AbortSignal
}

/** AppError `content_too_large` before anything is read, when the length is declared. */
export function requireAcceptableLength(
  { contentLength = 0, isChunked }: RequestHeaders,
  maxBytes: number,
): void {
  if (contentLength > maxBytes || (isChunked && maxBytes === 0)) throw tooLarge(maxBytes)
}

/**
 * The body as it goes upstream, byte for byte: small ones as a Buffer, others as a stream with backpressure. Fails with
 * `request_timeout` when it stops coming; a stream, with `content_too_large` as soon as it is over the limit.
 */
export function readRequestBody(
  req: IncomingMessage,
  { contentLength, isChunked }: RequestHeaders,
  limits: BodyLimits,
): RequestBody | Promise<RequestBody> {
  const open = () => streamBody(req, limits)
  if (isChunked) return open
  if (contentLength === undefined || contentLength === 0) return null
  return contentLength <= COLLECT_UP_TO_BYTES ? collect(req, limits) : open
}

function collect(
  req: IncomingMessage,
  { bytes, idleMs, onChunk, signal }: BodyLimits,
): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    // Its events have been: while the caller was being checked, say.
    if (req.destroyed) return reject(new ClientGone())
    signal.throwIfAborted()
    const chunks: Buffer[] = []
    req.on('data', (chunk: Buffer) => {
      idle?.refresh()
      bytes.in += chunk.length
      onChunk(chunk)
      chunks.push(chunk)
    })
    req.on('end', () => {
      clearTimeout(idle)
      resolve(chunks.length === 1 && chunks[0] ? chunks[0] : Buffer.concat(chunks))
    })
    const fail = (error: unknown) => {
      clearTimeout(idle)
      reject(error)
    }
    req.on('close', () => req.readableEnded || fail(new ClientGone()))
    // Mostly it has come with the headers, and there is nothing to wait for.
    const idle = req.complete ? undefined : setTimeout(() => fail(stoppedComing()), idleMs)
    if (!req.complete) signal.addEventListener('abort', () => fail(signal.reason))
  })
}

/** A stream of its own: undici destroys what it is given, and the request's connection may still be needed. */
function streamBody(req: IncomingMessage, limits: BodyLimits): Readable {
  const { maxBytes, idleMs, bytes, onChunk, onSpent } = limits
  let idle: NodeJS.Timeout | undefined
  const body = new Readable({
    read() {
      if (idle === undefined) start()
      idle?.refresh()
      req.resume()
    },
    destroy(error, done) {
      clearTimeout(idle)
      req.off('data', onData).off('end', onEnd).off('error', onError)
      done(error)
    },
  })
  const start = () => {
    // While it is the model server that takes nothing more, its own deadline runs.
    idle = setTimeout(() => req.isPaused() || body.destroy(stoppedComing()), idleMs)
    req.on('data', onData).on('end', onEnd).on('error', onError)
  }
  const onData = (chunk: Buffer) => {
    idle?.refresh()
    bytes.in += chunk.length
    onChunk(chunk)
    if (bytes.in > maxBytes) body.destroy(tooLarge(maxBytes))
    else if (!body.push(chunk)) req.pause()
    onSpent(chunk.length)
  }
  const onEnd = () => body.push(null)
  const onError = () => body.destroy(new ClientGone())
  // undici no longer listens once it has an answer, or no connection: that a client leaves then is no error.
  body.on('error', () => {})
  return body
}

function stoppedComing(): AppError {
  return new AppError('request_timeout', 'The body stopped coming.')
}

function tooLarge(maxBytes: number): AppError {
  return new AppError('content_too_large', `A body is limited to ${maxBytes} bytes.`)
}
