import type { Call } from './call.ts'
import { NO_IDENTITY } from './identity-headers.ts'
import type { Limits } from './limits.ts'
import { rateLimitHeaders } from './rate-limit-headers.ts'
import { usageDocument } from './usage-document.ts'

/** The RFC 9728 document. */
export function sendMetadata(call: Call, document: string): void {
  sendJson(call, document, 'public, max-age=3600')
}

/** What the caller has left, and nothing of others; also to who has nothing left. */
export async function sendUsage(call: Call, limits: Limits): Promise<void> {
  const token = call.caller?.token
  if (token === undefined) throw new TypeError('the route needs a token')
  const remaining = await limits.read(token)
  if (remaining.length > 0) {
    call.res.setHeaders(new Map(Object.entries(rateLimitHeaders(remaining))))
  }
  sendJson(call, usageDocument(token, remaining), 'no-store')
}

/** For a request that somebody else passes on: it may pass, and this is who calls. */
export function sendVerdict({ res, requestId, caller }: Call): void {
  const own = ['content-length', '0', 'cache-control', 'no-store', 'x-request-id', requestId]
  res.writeHead(200, [...own, ...(caller?.identityHeaders ?? NO_IDENTITY)])
  res.end()
}

function sendJson({ res, requestId, bytes }: Call, text: string, cacheControl: string): void {
  bytes.out = Buffer.byteLength(text)
  res.writeHead(200, {
    'content-type': 'application/json',
    'content-length': bytes.out,
    'cache-control': cacheControl,
    'x-request-id': requestId,
  })
  res.end(text)
}
