import type { IncomingMessage, ServerResponse } from 'node:http'
import type { z } from 'zod'
import { AppError } from '../kernel/errors.ts'
import { toProblem } from '../kernel/problem.ts'

/** How long a client that was refused for its size may go on sending: what it sends is thrown away. */
const LINGER_MS = 10_000

/**
 * The whole body. AppError `content_too_large` by the declared length before anything is read (so a client that waits
 * for `100 Continue` sends nothing), or as soon as more than `maxBytes` have come.
 */
export async function readBody(
  req: IncomingMessage,
  res: ServerResponse,
  maxBytes: number,
): Promise<Buffer<ArrayBuffer>> {
  const declaredBytes = Number(req.headers['content-length'] ?? 0)
  if (declaredBytes > maxBytes) throw tooLarge(maxBytes)
  if (req.headers.expect !== undefined) res.writeContinue()
  const chunks: Buffer[] = []
  let bytes = 0
  await new Promise<void>((resolve, reject) => {
    req.on('data', (chunk: Buffer) => {
      bytes += chunk.length
      if (bytes > maxBytes) reject(tooLarge(maxBytes))
      else chunks.push(chunk)
    })
    req.once('end', resolve)
    req.once('error', reject)
  })
  return Buffer.concat(chunks)
}

/** The body as JSON of that shape; AppError `malformed_request` names what is wrong where. */
export function parseJson<T>(schema: z.ZodType<T>, body: Buffer): T {
  const parsed = schema.safeParse(toJson(body))
  if (parsed.success) return parsed.data
  const problems = parsed.error.issues.map(({ path, message }) =>
    path.length === 0 ? message : `${path.join('.')}: ${message}`,
  )
  throw new AppError('malformed_request', problems.join('; '))
}

/** AppError `unsupported_media_type` for a compressed body: its size would only show when it is too late. */
export function requirePlainBody(req: IncomingMessage): void {
  const encoding = req.headers['content-encoding'] ?? 'identity'
  if (encoding === 'identity') return
  throw new AppError('unsupported_media_type', 'Send the body without a Content-Encoding.')
}

/** The media type of the body in lower case, without parameters. */
export function mediaTypeOf(req: IncomingMessage): string {
  return (req.headers['content-type'] ?? '').split(';', 1).join('').trim().toLowerCase()
}

/**
 * Answers 413 to a client that may still be sending, then closes the connection. Closing at once would reset it, and
 * most clients would report the reset instead of the answer.
 */
export function refuseOversized(
  { req, res }: { req: IncomingMessage; res: ServerResponse },
  error: AppError,
  requestId: string,
): void {
  const body = JSON.stringify(toProblem(error, requestId))
  res.writeHead(error.status, {
    'content-type': 'application/problem+json',
    'content-length': Buffer.byteLength(body),
    'cache-control': 'no-store',
    'x-request-id': requestId,
    connection: 'close',
  })
  res.write(body)
  const deadline = setTimeout(() => req.destroy(), LINGER_MS)
  req.once('close', () => clearTimeout(deadline))
  req.once('end', () => res.end())
  req.resume()
}

function toJson(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString('utf8'))
  } catch (error) {
    throw new AppError('malformed_request', 'The body is not valid JSON.', { cause: error })
  }
}

function tooLarge(maxBytes: number): AppError {
  return new AppError('content_too_large', `A body is limited to ${maxBytes} bytes.`)
}
