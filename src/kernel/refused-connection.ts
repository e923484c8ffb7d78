import { randomUUID } from 'node:crypto'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'
import { AppError, ERRORS } from './errors.ts'
import { toProblem } from './problem.ts'

/** How long a peer that was refused on its bare socket has to close its side. */
const LINGER_MS = 500

/**
 * Answers what never becomes a request with a problem, and closes: what is not HTTP, what takes too long to arrive, and
 * what asks for a tunnel. Where an answer has begun, the connection is cut instead.
 */
export function refuseWhatIsNoRequest(server: Server, maxHeaderBytes: number): void {
  const answers = new WeakMap<Duplex, ServerResponse>()
  server.on('request', ({ socket }: IncomingMessage, res: ServerResponse) =>
    answers.set(socket, res),
  )

  function refuse(socket: Duplex, error: AppError): void {
    // Node has let go of a socket that asked for a tunnel: its errors are ours to hear.
    socket.on('error', () => socket.destroy())
    const answer = answers.get(socket)
    if (answer?.headersSent === true && !answer.writableFinished) socket.destroy()
    else endWith(socket, error)
  }

  server.on('clientError', (error: NodeJS.ErrnoException, socket: Duplex) => {
    if (error.code === 'ECONNRESET' || !socket.writable) socket.destroy()
    else refuse(socket, brokenRequest(error.code, maxHeaderBytes))
  })
  server.on('upgrade', (_req: IncomingMessage, socket: Duplex) =>
    refuse(socket, new AppError('malformed_request', 'Protocol upgrades are not supported.')),
  )
  server.on('connect', (_req: IncomingMessage, socket: Duplex) =>
    refuse(socket, new AppError('method_not_allowed', 'CONNECT is not supported.')),
  )
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

function endWith(socket: Duplex, error: AppError): void {
  const requestId = randomUUID()
  const body = JSON.stringify(toProblem(error, requestId))
  socket.end(
    [
      `HTTP/1.1 ${error.status} ${ERRORS[error.code].title}`,
      'Content-Type: application/problem+json',
      `Content-Length: ${Buffer.byteLength(body)}`,
      `X-Request-Id: ${requestId}`,
      'Cache-Control: no-store',
      'Connection: close',
      '',
      body,
    ].join('\r\n'),
  )
  socket.resume()
  setTimeout(() => socket.destroy(), LINGER_MS)
}
