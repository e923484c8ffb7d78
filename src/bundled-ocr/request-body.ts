import type { IncomingMessage } from 'node:http'
import { AppError } from '../kernel/errors.ts'

/** The whole body; `content_too_large` before it is read where its length is declared, else as soon as it shows. */
export async function readBody(req: IncomingMessage, maxBytes: number): Promise<Buffer> {
  if (Number(req.headers['content-length'] ?? 0) > maxBytes) throw tooLarge(maxBytes)
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of req.iterator({ destroyOnReturn: false })) {
    if (!Buffer.isBuffer(chunk)) throw new TypeError('the request stream has an encoding')
    bytes += chunk.length
    if (bytes > maxBytes) throw tooLarge(maxBytes)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

/** `malformed_request` when it is not JSON; the message never quotes it. */
export function parseJson(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString('utf8'))
  } catch {
    throw new AppError('malformed_request', 'The body is not JSON.')
  }
}

function tooLarge(maxBytes: number): AppError {
  return new AppError('content_too_large', `A body is limited to ${maxBytes} bytes.`)
}
