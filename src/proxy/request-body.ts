import type { IncomingMessage } from 'node:http'
import { Readable } from 'node:stream'
import { AppError } from '../kernel/errors.ts'
import { LEAST_RATE, startBodyPace, type BodyPace, type LeastRate } from './body-pace.ts'
import { ClientGone } from './client-gone.ts'
import type { Ending } from './ending.ts'
import type { RequestHeaders } from './request-headers.ts'

/** Up to here a body is collected and sent in one write, which costs a third less than streaming it. */
const COLLECT_UP_TO_BYTES = 65_536

/** A function opens a body that is streamed; nothing of it is read before somebody reads what it gives. */
export type RequestBody = Buffer | (() => Readable) | null

export type BodyLimits = {
  maxBytes: number
  idleMs: number
  leastRate?: LeastRate
  bytes: { in: number }
  /** Is shown one that is streamed, as it passes. */
  onChunk: (chunk: Buffer) => void
  /** Is told how much of a large one has passed. */
  onSpent: (bytes: number) => void
  /** Ends the wait for a small one. */
  ending: Ending
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
 * `request_timeout` when it stops coming or comes too slowly; a stream, with `content_too_large` as soon as it is over the limit.
 */
export function readRequestBody(
  req: IncomingMessage,
  { contentLength, isChunked }: RequestHeaders,
  limits: BodyLimits,
): RequestBody | Promise<RequestBody> {
  const open = () => streamBody(req, limits)
  if (isChunked) return open
  if (contentLength === undefined || contentLength === 0) return null
  if (contentLength > COLLECT_UP_TO_BYTES) return open
  limits.ending.throwIfEnded()
  return takeWhole(req, contentLength, limits) ?? collect(req, limits)
}

/** Mostly it has come with the headers, and there is nothing to wait for. */
function takeWhole(
  req: IncomingMessage,
  length: number,
  { bytes }: BodyLimits,
): Buffer | undefined {
  // Takes nothing when that is not all there.
  const body: unknown = req.readableLength < length ? null : req.read(length)
  if (!(body instanceof Buffer)) return undefined
  bytes.in += body.length
  return body
}

function collect(
  req: IncomingMessage,
  { bytes, idleMs, leastRate = LEAST_RATE, ending }: BodyLimits,
): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    req.on('data', (chunk: Buffer) => {
      pace.came(chunk.length)
      bytes.in += chunk.length
      chunks.push(chunk)
    })
    req.on('end', () => {
      pace.stop()
      ending.off(fail)
      resolve(chunks.length === 1 && chunks[0] ? chunks[0] : Buffer.concat(chunks))
    })
    const fail = (error: unknown) => {
      pace.stop()
      reject(error)
    }
    const pace = startBodyPace({ idleMs, leastRate, onLate: () => fail(tooSlow()) })
    ending.on(fail)
  })
}

/** A stream of its own: an exchange destroys what it is given, and the request's connection may still be needed. */
function streamBody(req: IncomingMessage, limits: BodyLimits): Readable {
  const { maxBytes, idleMs, leastRate = LEAST_RATE, bytes, onChunk, onSpent } = limits
  let pace: BodyPace | undefined
  const body = new Readable({
    read() {
      if (pace === undefined) start()
      pace?.resume()
      req.resume()
    },
    destroy(error, done) {
      pace?.stop()
      req.off('data', onData).off('end', onEnd).off('error', onError)
      done(error)
    },
  })
  const start = () => {
    pace = startBodyPace({ idleMs, leastRate, onLate: () => body.destroy(tooSlow()) })
    req.on('data', onData).on('end', onEnd).on('error', onError)
  }
  const onData = (chunk: Buffer) => {
    pace?.came(chunk.length)
    bytes.in += chunk.length
    onChunk(chunk)
    if (bytes.in > maxBytes) body.destroy(tooLarge(maxBytes))
    else if (!body.push(chunk)) waitForModel()
    onSpent(chunk.length)
  }
  const waitForModel = () => {
    req.pause()
    // Its own deadline runs.
    pace?.pause()
  }
  const onEnd = () => {
    pace?.stop()
    body.push(null)
  }
  const onError = () => body.destroy(new ClientGone())
  // Nobody listens any more once there is an answer, or no connection: that a client leaves then is no error.
  body.on('error', () => {})
  return body
}

function tooSlow(): AppError {
  return new AppError('request_timeout', 'The body came too slowly, or not at all.')
}

function tooLarge(maxBytes: number): AppError {
  return new AppError('content_too_large', `A body is limited to ${maxBytes} bytes.`)
}
