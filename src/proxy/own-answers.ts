import { AuthError, toAppError } from '../kernel/errors.ts'
import { sendProblem } from '../kernel/problem.ts'
import { challengesOf } from '../tokens/challenge.ts'
import type { Call } from './call.ts'
import { ClientGone } from './client-gone.ts'
import { FORWARD_AUTH_PATH } from './forward-auth.ts'
import { identityHeaders, NO_IDENTITY } from './identity-headers.ts'
import type { Limits } from './limits.ts'
import { rateLimitHeaders } from './rate-limit-headers.ts'
import { usageDocument } from './usage-document.ts'

/** The RFC 9728 document. */
export function sendMetadata(call: Call, document: string): void {
  sendJson(call, document, 'public, max-age=3600')
}

/** What the caller has left, and nothing of others; also to who has nothing left. */
export async function sendUsage(call: Call, limits: Limits): Promise<void> {
  const { caller, proof, ending } = call
  if (caller === undefined) throw new TypeError('the route needs a token')
  const { token } = caller
  // Asked at the same time, because the answer waits for both.
  const [remaining] = await Promise.all([limits.read(token), limits.useUp(token, proof)])
  ending.throwIfEnded()
  if (remaining.length > 0) {
    call.res.setHeaders(new Map(Object.entries(rateLimitHeaders(remaining))))
  }
  sendJson(call, usageDocument(token, remaining), 'no-store')
}

/** For a request that somebody else passes on: it may pass, and this is who calls. */
export function sendVerdict({ res, requestId, caller }: Call): void {
  const own = ['content-length', '0', 'cache-control', 'no-store', 'x-request-id', requestId]
  const identity = caller === undefined ? NO_IDENTITY : identityHeaders(caller.token)
  res.writeHead(200, [...own, ...identity])
  res.end()
}

/** What a call was refused for, or has failed of; nothing to who has left. */
export function sendRefusal(call: Call, error: unknown, metadataUrl: string): void {
  const { req, res } = call
  if (error instanceof ClientGone || res.closed) return
  const refusal = toAppError(error)
  call.refusal = refusal
  call.hasBrokenOff = res.headersSent
  if (refusal instanceof AuthError && !res.headersSent) {
    const challenges = challengesOf(refusal, req.headers.authorization, metadataUrl)
    // nginx before 1.23 passes on the first header of the name alone.
    const isForOther = call.route === FORWARD_AUTH_PATH
    res.setHeader('www-authenticate', isForOther ? challenges.join(', ') : challenges)
  }
  // A body that was announced with `Expect` may or may not follow: nothing else can use the connection.
  if (req.headers.expect !== undefined && !res.headersSent) res.setHeader('connection', 'close')
  if (call.counted !== undefined && !res.headersSent) {
    res.setHeaders(new Map(Object.entries(call.counted.headers)))
  }
  call.bytes.out += sendProblem(res, refusal, call.requestId)
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
