import type { IncomingMessage } from 'node:http'
import { AppError } from '../kernel/errors.ts'

/** The largest client that its schema allows has about 200 kB. */
const MAX_BODY_BYTES = 262_144
/** Nothing that is taken here nests deeper; JSON.stringify would run out of stack far beyond. */
const MAX_DEPTH = 32

/**
 * The JSON of the body. AppError `content_too_large`, `unsupported_media_type` for anything but plain JSON, or
 * `malformed_request`; the connection is not used again where the body was not read to its end.
 */
export async function readJsonBody(req: IncomingMessage): Promise<unknown> {
  requireJson(req)
  return parseJson(await readBytes(req))
}

async function readBytes(req: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = []
  let bytes = 0
  try {
    for await (const chunk of req) {
      const part: Buffer = Buffer.from(chunk)
      bytes += part.byteLength
      if (bytes > MAX_BODY_BYTES) throw tooLarge()
      chunks.push(part)
    }
  } catch (cause) {
    if (cause instanceof AppError) throw cause
    throw new AppError('malformed_request', 'The body broke off.', { cause, reason: 'aborted' })
  }
  return Buffer.concat(chunks)
}

function requireJson(req: IncomingMessage): void {
  const [mediaType = ''] = (req.headers['content-type'] ?? '').split(';')
  const isPlain = (req.headers['content-encoding'] ?? 'identity') === 'identity'
  if (mediaType.trim().toLowerCase() !== 'application/json' || !isPlain) {
    throw new AppError('unsupported_media_type', 'Send the body as application/json.', {
      headers: { connection: 'close' },
    })
  }
  if (Number(req.headers['content-length'] ?? 0) > MAX_BODY_BYTES) throw tooLarge()
}

function tooLarge(): AppError {
  return new AppError('content_too_large', `A body may have ${MAX_BODY_BYTES} bytes.`, {
    headers: { connection: 'close' },
  })
}

function parseJson(bytes: Buffer): unknown {
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes)
    const value: unknown = JSON.parse(text)
    if (depthOf(text) <= MAX_DEPTH) return value
  } catch {
    throw new AppError('malformed_request', 'The body is not JSON in UTF-8.')
  }
  throw new AppError('malformed_request', `The body nests deeper than ${MAX_DEPTH} levels.`)
}

/** How deep lists and objects nest, strings left out. Linear for what is JSON: there every string ends. */
function depthOf(json: string): number {
  let depth = 0
  let deepest = 0
  for (const [token] of json.matchAll(/"(?:[^"\\]|\\.)*"|[[\]{}]/g)) {
    if (token === '[' || token === '{') deepest = Math.max(deepest, (depth += 1))
    else if (token === ']' || token === '}') depth -= 1
  }
  return deepest
}

/** The query as an object. AppError `malformed_request` when a parameter comes twice. */
export function parseQuery(query: string): Record<string, string> {
  const parameters = new URLSearchParams(query)
  const entries = [...parameters]
  if (new Set(parameters.keys()).size !== entries.length) {
    throw new AppError('malformed_request', 'A query parameter came twice.')
  }
  return Object.fromEntries(entries)
}

/**
 * What `If-Match` expects (RFC 9110 §13.1.1): nothing without it or with `*`; a weak tag or one that is not ours is a
 * version that nothing ever has. AppError `malformed_request` for anything but one tag.
 */
export function parseIfMatch(header: string | undefined): { version?: string } {
  if (header === undefined || header.trim() === '*') return {}
  const tag = /^(W\/)?"([\x21\x23-\x7E]*)"$/.exec(header.trim())
  if (tag === null) throw new AppError('malformed_request', 'If-Match must be one entity tag.')
  return { version: tag[1] === undefined ? (tag[2] ?? '') : '' }
}

export const entityTag = (version: string): string => `"${version}"`
