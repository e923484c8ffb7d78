import type { Socket } from 'node:net'
import { Readable } from 'node:stream'
import type { Trailers } from './trailers.ts'

/** A request as it goes out. What is in it has been read from a request, or made by us, and holds no line end. */
export type SentRequest = {
  method: string
  /** The request target. */
  target: string
  /** Lines with their ends, without `Host`. */
  headers: string
  /** Whether one of them is `Content-Length`: a stream goes in chunks otherwise. */
  isSized: boolean
  /** A stream has a listener of its own for its errors: nobody here listens before and after. */
  body: Readable | Buffer | null
  /** Of a body that came in chunks, once it has ended. */
  trailers?: () => Trailers
  /** How long the server may take nothing of what is there for it, or not begin to answer when it has all; and then not go on. */
  firstByteMs: number
  idleMs: number
}

/** Is told how sending goes on. */
export type SendListener = {
  /** The connection has been given some; with `hasRoom`, the next step is for the body to make. */
  onProgress: (hasRoom: boolean) => void
  /** The connection has been given everything. */
  onSent: () => void
  onError: (error: Error) => void
}

/** Sends it, with backpressure; gives what ends that, and leaves the rest of the body unread. */
export function sendRequest(
  socket: Socket,
  host: string,
  request: SentRequest,
  listener: SendListener,
): () => void {
  const { method, target, headers, body } = request
  const framing = framingOf(request)
  const head = `${method} ${target} HTTP/1.1\r\nhost: ${host}\r\n${headers}${framing}\r\n`
  if (body instanceof Readable) {
    socket.write(head, 'latin1')
    const trailers = framing === '' ? undefined : (request.trailers ?? noTrailers)
    return sendBody(socket, body, { trailers, listener })
  }
  socket.write(joined(head, body))
  listener.onSent()
  return () => undefined
}

/** Methods whose requests say when they have no body (RFC 9110 §8.6). */
const WITH_BODY = new Set(['POST', 'PUT', 'PATCH'])

/** The header that is still to be said about the body. */
function framingOf({ method, isSized, body }: SentRequest): string {
  if (isSized) return ''
  if (body instanceof Readable) return 'transfer-encoding: chunked\r\n'
  if (body !== null) return `content-length: ${body.length}\r\n`
  return WITH_BODY.has(method) ? 'content-length: 0\r\n' : ''
}

/** In one piece, which is written with one call of the system and no gathering of pieces. */
function joined(head: string, body: Buffer | null): Buffer {
  if (body === null) return Buffer.from(head, 'latin1')
  const bytes = Buffer.allocUnsafe(head.length + body.length)
  bytes.write(head, 'latin1')
  bytes.set(body, head.length)
  return bytes
}

/** `trailers` where the body goes in chunks. */
type BodyOptions = { trailers: SentRequest['trailers'] | undefined; listener: SendListener }

const noTrailers = () => []

function sendBody(socket: Socket, body: Readable, { trailers, listener }: BodyOptions) {
  const write = trailers === undefined ? writePlain : writeChunk
  const onData = (chunk: Buffer) => {
    const hasRoom = write(socket, chunk)
    if (!hasRoom) body.pause()
    listener.onProgress(hasRoom)
  }
  const onDrain = () => {
    body.resume()
    listener.onProgress(true)
  }
  const onEnd = () => {
    if (trailers !== undefined) socket.write(lastChunk(trailers()), 'latin1')
    socket.off('drain', onDrain)
    listener.onSent()
  }
  body.on('data', onData).on('end', onEnd).on('error', listener.onError)
  socket.on('drain', onDrain)
  return () => {
    socket.off('drain', onDrain)
    body.off('data', onData).off('end', onEnd).off('error', listener.onError)
    body.destroy()
  }
}

const lastChunk = (trailers: Trailers): string => {
  const fields = trailers.map(([name, value]) => `${name}: ${value}\r\n`)
  return `0\r\n${fields.join('')}\r\n`
}

const writePlain = (socket: Socket, chunk: Buffer): boolean => socket.write(chunk)

function writeChunk(socket: Socket, chunk: Buffer): boolean {
  // One of no bytes would be the last.
  if (chunk.length === 0) return true
  socket.cork()
  socket.write(`${chunk.length.toString(16)}\r\n`, 'latin1')
  socket.write(chunk)
  const hasRoom = socket.write('\r\n', 'latin1')
  socket.uncork()
  return hasRoom
}
