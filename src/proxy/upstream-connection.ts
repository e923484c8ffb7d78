import { connect as connectPlain, isIP, type Socket } from 'node:net'
import { Readable } from 'node:stream'
import { connect as connectTls } from 'node:tls'
import { createDeadline } from '../kernel/deadline.ts'
import { createAnswerParser, type AnswerListener } from './answer-parser.ts'
import { ExchangeError, type ExchangeErrorCode } from './exchange-error.ts'
import { sendRequest, type SentRequest } from './send-request.ts'

/** Is told how an exchange goes. `onError` ends it, in place of whatever else would have come. */
export type ExchangeListener = AnswerListener & {
  /** From now on the server may have some of the request. */
  onTaken: () => void
  /** An ExchangeError, an error of the system or of TLS, one of the body, or the reason of `abort`. */
  onError: (error: Error) => void
}

/** For who began an exchange. When it is over, nothing comes of it. */
export type ExchangeControl = {
  /** Reads no more of the answer than has come; meanwhile the server is not late. */
  pause: () => void
  resume: () => void
  /** Closes the connection. */
  abort: (reason: Error) => void
}

export type ConnectionOptions = {
  url: URL
  connectTimeoutMs: number
  /** Where bytes are read to. Before others are read, they are passed on or copied: one does for all connections. */
  readBuffer?: Buffer | undefined
  /** Is told when it can take another request. */
  onIdle: (connection: UpstreamConnection) => void
  onClosed: (connection: UpstreamConnection) => void
}

export type UpstreamConnection = {
  /** For one that is new or idle. */
  send: (request: SentRequest, listener: ExchangeListener) => ExchangeControl
  close: () => void
}

/** uvicorn closes an idle connection after 5 s without saying so: leave it before, not while it does. */
const IDLE_MS = 4000
/** So long before a server that says when it closes; what lies between may forget a connection sooner. */
const LEAVE_BEFORE_MS = 1000
const MAX_IDLE_MS = 60_000
const PROBE_AFTER_MS = 60_000
/** No less than a TLS record. */
const OWN_BUFFER_BYTES = 16_384

type Exchange = { request: SentRequest; listener: ExchangeListener }

/** Connects to a model server; then it takes one request at a time (RFC 9112 §9). */
export function openConnection(options: ConnectionOptions): UpstreamConnection {
  const { url, connectTimeoutMs, onIdle, onClosed } = options
  let current: Exchange | undefined
  let isConnected = false
  let isClosed = false
  let isSent = false
  let isPaused = false
  let wasPaused = false
  let stopSending: (() => void) | undefined
  /** What it means when the deadline is missed. */
  let lateness: ExchangeErrorCode = 'UPSTREAM_CONNECT_TIMEOUT'

  const deadline = createDeadline(() => fail(new ExchangeError(lateness)))
  const parser = createAnswerParser({
    onHead(status, headers) {
      lateness = 'UPSTREAM_IDLE_TIMEOUT'
      expectMore()
      current?.listener.onHead(status, headers)
    },
    onChunk(chunk) {
      expectMore()
      current?.listener.onChunk(chunk)
    },
    onEnd(trailers) {
      const ended = current
      current = undefined
      ended?.listener.onEnd(trailers)
    },
  })
  const socket = connect(options, read)
  socket
    .once(url.protocol === 'https:' ? 'secureConnect' : 'connect', () => {
      isConnected = true
      if (current !== undefined) begin(current)
    })
    .once('end', () => {
      parser.close()
      fail(new ExchangeError('UPSTREAM_CLOSED'))
    })
    .on('error', fail)
    .once('close', () => fail(new ExchangeError('UPSTREAM_CLOSED')))
  deadline.set(connectTimeoutMs)

  function begin({ request, listener }: Exchange): void {
    isSent = false
    lateness = 'UPSTREAM_FIRST_BYTE_TIMEOUT'
    // Who sends a stream has a time of its own: until there is some of it, the server is not late.
    if (request.body instanceof Readable) deadline.clear()
    parser.begin(request.method)
    listener.onTaken()
    // It may have been ended just now.
    if (isClosed) return
    stopSending = sendRequest(socket, url.host, request, {
      onProgress(hasRoom) {
        if (lateness === 'UPSTREAM_IDLE_TIMEOUT') expectMore()
        else if (hasRoom) deadline.clear()
        else deadline.set(request.firstByteMs)
      },
      onSent() {
        isSent = true
        if (lateness === 'UPSTREAM_FIRST_BYTE_TIMEOUT') deadline.set(request.firstByteMs)
      },
      onError: fail,
    })
    // It may have failed at once.
    if (isClosed) stopSending()
  }

  function expectMore(): void {
    // What was read before a pause is still passed on.
    if (current !== undefined && !isPaused) deadline.set(current.request.idleMs)
  }

  function read(bytes: Buffer): void {
    try {
      parser.read(bytes)
    } catch (error) {
      return fail(error)
    }
    // Who was told of the answer may have closed the connection.
    if (current === undefined && !isClosed) rest()
  }

  /** After an answer: what is left of a request that nobody wants is not sent. */
  function rest(): void {
    const { staysOpen, keepAliveSeconds } = parser.persistence()
    const idleMs =
      keepAliveSeconds === undefined
        ? IDLE_MS
        : Math.min(keepAliveSeconds * 1000 - LEAVE_BEFORE_MS, MAX_IDLE_MS)
    const isAllSent = isSent && socket.writableLength === 0
    // While it was not read, the server may have closed it.
    if (!staysOpen || !isAllSent || wasPaused || idleMs <= 0) return close()
    stopSending = undefined
    deadline.set(idleMs)
    onIdle(connection)
  }

  function fail(error: unknown): void {
    const failed = current
    current = undefined
    close()
    failed?.listener.onError(error instanceof Error ? error : new Error('not an error'))
  }

  /** Tells the listener nothing: the connection's own `close` does. */
  function close(): void {
    if (isClosed) return
    isClosed = true
    deadline.clear()
    stopSending?.()
    socket.destroy()
    onClosed(connection)
  }

  const connection: UpstreamConnection = {
    send(request, listener) {
      const exchange = { request, listener }
      current = exchange
      if (isConnected) begin(exchange)
      return {
        pause() {
          if (current !== exchange) return
          isPaused = true
          wasPaused = true
          socket.pause()
          deadline.clear()
        },
        resume() {
          if (current !== exchange) return
          isPaused = false
          socket.resume()
          expectMore()
        },
        abort(reason) {
          if (current === exchange) fail(reason)
        },
      }
    },
    close,
  }
  return connection
}

function connect({ url, readBuffer }: ConnectionOptions, read: (bytes: Buffer) => void): Socket {
  const isTls = url.protocol === 'https:'
  // TLS may give bytes out while others are written: what is being passed on must not change then.
  const shared = isTls ? undefined : readBuffer
  const buffer = shared ?? Buffer.allocUnsafeSlow(OWN_BUFFER_BYTES)
  const host = url.hostname.replace(/^\[|\]$/g, '')
  const options = {
    host,
    port: Number(url.port) || (isTls ? 443 : 80),
    noDelay: true,
    keepAlive: true,
    keepAliveInitialDelay: PROBE_AFTER_MS,
    onread: {
      buffer,
      callback(count: number) {
        read(buffer.subarray(0, count))
        return true
      },
    },
  }
  if (!isTls) return connectPlain(options)
  // An address has no name to be told (RFC 6066 §3).
  const name = isIP(host) === 0 ? { servername: host } : {}
  return connectTls({ ...options, ...name, ALPNProtocols: ['http/1.1'] })
}
