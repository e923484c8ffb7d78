import type { IncomingHttpHeaders, OutgoingHttpHeaders, ServerResponse } from 'node:http'
import { Readable } from 'node:stream'
import type { Dispatcher } from 'undici'
import { AppError } from '../kernel/errors.ts'
import type { RequestBody } from './request-body.ts'
import { HOP_BY_HOP } from './request-headers.ts'
import type { Upstream } from './upstreams.ts'

export type UpstreamRequest = {
  method: string
  /** The request target exactly as it came in. */
  target: string
  /** A flat list of names and values. */
  headers: string[]
  body: RequestBody
}

/** The caller hung up: there is nobody to answer, and the model server has been told to stop. */
export class ClientGone extends Error {
  constructor() {
    super('the client has gone')
    this.name = 'ClientGone'
  }
}

/** Responses up to here are written together with their headers. */
const ONE_WRITE_UP_TO_BYTES = 65_536

/**
 * Sends the request and streams the answer back, with backpressure both ways; settles when the exchange is over. Fails
 * with `upstream_unreachable`, `upstream_timeout`, the body's own AppError, or ClientGone.
 */
export function forward(
  res: ServerResponse,
  upstream: Upstream,
  request: UpstreamRequest,
  requestId: string,
): Promise<void> {
  return new Promise((resolve, reject) => {
    let controller: Dispatcher.DispatchController | undefined
    let isGone = res.closed
    let bodyLength: number | undefined

    res.once('close', () => {
      if (res.writableFinished) return
      isGone = true
      controller?.abort(new ClientGone())
    })
    upstream.inFlight += 1

    upstream.pool.dispatch(
      {
        method: request.method,
        path: request.target,
        headers: request.headers,
        body: toDispatchable(request.body),
      },
      {
        onRequestStart(started) {
          controller = started
          if (isGone) started.abort(new ClientGone())
        },
        onResponseStart(_controller, status, headers) {
          bodyLength = contentLengthOf(headers)
          res.writeHead(status, responseHeaders(headers, requestId))
          const isShort = bodyLength !== undefined && bodyLength <= ONE_WRITE_UP_TO_BYTES
          if (!isShort) res.flushHeaders()
        },
        onResponseData(paused, chunk) {
          if (chunk.length === bodyLength) {
            res.end(chunk)
          } else if (!res.write(chunk)) {
            paused.pause()
            res.once('drain', () => paused.resume())
          }
        },
        onResponseEnd() {
          upstream.inFlight -= 1
          res.end()
          resolve()
        },
        onResponseError(_controller, error) {
          upstream.inFlight -= 1
          reject(isGone ? new ClientGone() : translate(error))
        },
      },
    )
  })
}

function toDispatchable(body: RequestBody): Buffer | Readable | null {
  if (body === null || Buffer.isBuffer(body) || body instanceof Readable) return body
  return Readable.from(body, { objectMode: false })
}

function responseHeaders(headers: IncomingHttpHeaders, requestId: string): OutgoingHttpHeaders {
  const named = headers.connection === undefined ? [] : headers.connection.toLowerCase().split(',')
  const kept: OutgoingHttpHeaders = { 'x-request-id': requestId }
  for (const name in headers) {
    if (HOP_BY_HOP.has(name) || name === 'x-request-id') continue
    if (named.some((listed) => listed.trim() === name)) continue
    kept[name] = headers[name]
  }
  return kept
}

function contentLengthOf(headers: IncomingHttpHeaders): number | undefined {
  const text = headers['content-length']
  return text === undefined ? undefined : Number(text)
}

/** Undici's errors, translated once. */
function translate(error: Error): AppError {
  if (error instanceof AppError) return error
  const code = 'code' in error ? error.code : undefined
  switch (code) {
    case 'UND_ERR_HEADERS_TIMEOUT':
    case 'UND_ERR_BODY_TIMEOUT':
      return new AppError('upstream_timeout', 'The model server did not answer in time.', {
        cause: error,
      })
    case 'EAI_AGAIN':
    case 'ECONNREFUSED':
    case 'EHOSTUNREACH':
    case 'ENETUNREACH':
    case 'ENOTFOUND':
    case 'UND_ERR_CONNECT_TIMEOUT':
      return new AppError('upstream_unreachable', 'The model server cannot be reached.', {
        cause: error,
      })
    default:
      return new AppError(
        'upstream_unreachable',
        'The model server broke off the exchange or refused it.',
        {
          cause: error,
        },
      )
  }
}
