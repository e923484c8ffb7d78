import type { ServerResponse } from 'node:http'
import { ERRORS, type AppError, type ErrorCode } from './errors.ts'

/** An RFC 9457 problem that also carries the `error` member of OpenAI's API, so that its SDKs show the message. */
export type Problem = {
  type: string
  title: string
  status: number
  detail: string
  instance: string
  error: { message: string; type: string; code: ErrorCode }
}

export function toProblem(error: AppError, requestId: string): Problem {
  const { status, title } = ERRORS[error.code]
  return {
    type: `urn:gatehouse:error:${error.code}`,
    title,
    status,
    detail: error.message,
    instance: requestId,
    error: {
      message: error.message,
      type: status < 500 ? 'invalid_request_error' : 'server_error',
      code: error.code,
    },
  }
}

/**
 * Answers with the problem, unless an answer is already under way: then only the connection can say that it failed.
 * Sets `X-Request-Id`, `Cache-Control: no-store` and `X-Content-Type-Options: nosniff`. Gives the length of the body in bytes.
 */
export function sendProblem(res: ServerResponse, error: AppError, requestId: string): number {
  if (res.headersSent) {
    res.destroy()
    return 0
  }
  const body = JSON.stringify(toProblem(error, requestId))
  const length = Buffer.byteLength(body)
  res.writeHead(error.status, {
    'content-type': 'application/problem+json',
    'content-length': length,
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
    'x-request-id': requestId,
    ...error.headers,
  })
  res.end(body)
  return length
}
