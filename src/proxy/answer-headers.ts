import type { IncomingHttpHeaders, OutgoingHttpHeaders, ServerResponse } from 'node:http'
import { HOP_BY_HOP } from './request-headers.ts'

/**
 * What the model server says, without what is about its connection and what `ours` says itself. What it says of CORS is for
 * callers of its own: who may read the answer is ours to say.
 */
export function responseHeaders(
  headers: IncomingHttpHeaders,
  requestId: string,
  ours: ServerResponse,
): OutgoingHttpHeaders {
  const named = [headers.connection ?? []].flat().join(',').toLowerCase().split(',')
  const kept: OutgoingHttpHeaders = { 'x-request-id': requestId }
  for (const name in headers) {
    if (HOP_BY_HOP.has(name) || name === 'x-request-id') continue
    if (name.startsWith('access-control-')) continue
    if (name !== 'vary' && ours.hasHeader(name)) continue
    if (named.some((listed) => listed.trim() === name)) continue
    kept[name] = headers[name]
  }
  const ownVary = ours.getHeader('vary')
  if (ownVary !== undefined) kept['vary'] = [ownVary, kept['vary'] ?? []].flat().join(', ')
  return kept
}

export function contentLengthOf(headers: IncomingHttpHeaders): number | undefined {
  const text = headers['content-length']
  return text === undefined ? undefined : Number(text)
}

/** RFC 9110 §6.5.1: a trailer frames no message, authenticates nobody and controls no cache, connection or content. */
const NO_TRAILER =
  /^(?:content-|access-control-|x-request-id$|(?:set-)?cookie$|(?:www-)?authenticat|authorization$|cache-control$|expires$|vary$|location$|retry-after$|ratelimit|dpop)/

/** Passes on the trailers of an answer that came in chunks; others have none. */
export function addTrailers(res: ServerResponse, trailers: IncomingHttpHeaders): void {
  if (res.writableEnded) return
  const kept: OutgoingHttpHeaders = {}
  for (const name in trailers) {
    if (HOP_BY_HOP.has(name) || NO_TRAILER.test(name)) continue
    kept[name] = trailers[name]
  }
  res.addTrailers(kept)
}
