import { randomUUID } from 'node:crypto'
import type { IncomingMessage, RequestListener, Server, ServerResponse } from 'node:http'
import { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { AppError, ERRORS } from './errors.ts'
import type { Log } from './log.ts'
import { sendProblem, toProblem } from './problem.ts'

/** How long a peer that was refused on its bare socket has to close its side. */
const LINGER_MS = 500

/** For this host alone (RFC 6797 §6.1): what else its domain has is not ours to say. */
export const STRICT_TRANSPORT = 'max-age=31536000'

const BROKEN = Symbol('broken')

/** Leaves it to the listener to answer, and to log, when the body of the request turns out to be broken on its way. */
export function onBroken(req: IncomingMessage, listener: (error: AppError) => void): void {
  req.on(BROKEN, listener)
}

export type ConnectionGuardOptions = {
  name: string
  maxHeaderBytes: number
  /** Whether its connections are TLS. */
  hasTls: boolean
  log: Log
}

/**
 * Keeps every connection to one request at a time, and answers with a problem what never becomes a request: what is
 * not HTTP, what takes too long to arrive, and what asks for a tunnel. Where an answer is under way, the connection is cut
 * instead. Each refusal is logged.
 */
export function createConnectionGuard({
  name,
  maxHeaderBytes,
  hasTls,
  log,
}: ConnectionGuardOptions) {
  const latest = new WeakMap<Duplex, { req: IncomingMessage; res: ServerResponse }>()

  function refuse(socket: Duplex, error: AppError): void {
    // Node has let go of a socket that asked for a tunnel: its errors are ours to hear.
    socket.on('error', () => socket.destroy())
    const { req, res } = latest.get(socket) ?? {}
    const isAnswering = res !== undefined && !res.writableFinished
    // The body of the request that is being handled may be what is broken: then nothing has been said yet.
    if (isAnswering && !res.writableEnded && req?.complete === false) {
      if (!res.headersSent) res.setHeader('connection', 'close')
      if (req.emit(BROKEN, error)) return
    }
    const requestId = logRefusal(error, socket)
    if (isAnswering && (res.headersSent || req?.complete === true)) socket.destroy()
    else endWith(socket, error, { requestId, hasTls })
  }

  function logRefusal(error: AppError, socket: Duplex): string {
    const requestId = randomUUID()
    log.info(
      {
        event: 'request.refused',
        listener: name,
        request_id: requestId,
        decision: 'deny',
        reason: error.reason,
        status: error.status,
        remote_addr: socket instanceof Socket ? socket.remoteAddress : undefined,
      },
      'request refused',
    )
    return requestId
  }

  return {
    /** Logs a refusal of the listener itself and answers with it. */
    refuseRequest(req: IncomingMessage, res: ServerResponse, error: AppError): void {
      sendProblem(res, error, logRefusal(error, req.socket))
    },

    /** Hands on one request at a time: an answer that nobody takes must not be a place to queue more (RFC 9112 §9.3.2). */
    oneAtATime(handle: RequestListener): RequestListener {
      return (req: IncomingMessage, res: ServerResponse) => {
        const earlier = latest.get(req.socket)
        latest.set(req.socket, { req, res })
        if (earlier === undefined || earlier.res.writableEnded) return handle(req, res)
        return this.refuseRequest(
          req,
          res,
          new AppError('malformed_request', 'Pipelining is not supported.', {
            reason: 'pipelined',
            headers: { connection: 'close' },
          }),
        )
      }
    },

    watch(server: Server): void {
      // No byte in or out for so long: fine while the answer is being made, but not when it, or one before it, is there to be taken.
      server.on('timeout', (socket: Socket) => {
        const res = latest.get(socket)?.res
        if (res === undefined || res.writableEnded || res.socket === null) socket.destroy()
      })
      server.on('clientError', (error: NodeJS.ErrnoException, socket: Duplex) => {
        const isReset = error.code === 'ECONNRESET' || !socket.writable
        // Who ends the connection in the middle of a body has left.
        const isLeft =
          error.code === 'HPE_INVALID_EOF_STATE' && latest.get(socket)?.req.complete === false
        if (isReset || isLeft) socket.destroy()
        else refuse(socket, brokenRequest(error.code, maxHeaderBytes))
      })
      server.on('upgrade', (_req: IncomingMessage, socket: Duplex) =>
        refuse(socket, new AppError('malformed_request', 'Protocol upgrades are not supported.')),
      )
      server.on('connect', (_req: IncomingMessage, socket: Duplex) =>
        refuse(socket, new AppError('method_not_allowed', 'CONNECT is not supported.')),
      )
    },
  }
}

/** Node's parser and its time-outs, translated. */
function brokenRequest(nodeCode: string | undefined, maxHeaderBytes: number): AppError {
  switch (nodeCode) {
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return new AppError('request_timeout', 'The request did not arrive in time.')
    case 'HPE_HEADER_OVERFLOW':
      return new AppError(
        'header_fields_too_large',
        `Request headers are limited to ${maxHeaderBytes} bytes.`,
      )
    default:
      return new AppError('malformed_request', 'The request is not valid HTTP/1.1.')
  }
}

function endWith(
  socket: Duplex,
  error: AppError,
  { requestId, hasTls }: { requestId: string; hasTls: boolean },
): void {
  const body = JSON.stringify(toProblem(error, requestId))
  socket.end(
    [
      `HTTP/1.1 ${error.status} ${ERRORS[error.code].title}`,
      'Content-Type: application/problem+json',
      `Content-Length: ${Buffer.byteLength(body)}`,
      `X-Request-Id: ${requestId}`,
      'Cache-Control: no-store',
      ...(hasTls ? [`Strict-Transport-Security: ${STRICT_TRANSPORT}`] : []),
      'Connection: close',
      '',
      body,
    ].join('\r\n'),
  )
  socket.resume()
  setTimeout(() => socket.destroy(), LINGER_MS)
}
