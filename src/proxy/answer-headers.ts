import type { IncomingHttpHeaders, OutgoingHttpHeaders, ServerResponse } from 'node:http'
import { HOP_BY_HOP } from './request-headers.ts'

/**
 * What the model server says, without what is about its connection and what we say ourselves: `own`, and what `res` has
 * been given. What it says of CORS and of https is for callers of its own: who may read the answer, and how, is ours to say.
 */
export function responseHeaders(
  headers: IncomingHttpHeaders,
  own: Readonly<Record<string, string>>,
  res: ServerResponse,
): OutgoingHttpHeaders {
  const named = namedIn(headers.connection)
  const kept: OutgoingHttpHeaders = { ...own }
  for (const name in headers) {
    if (HOP_BY_HOP.has(name) || Object.hasOwn(own, name) || named?.has(name) === true) continue
    if (name.startsWith('access-control-') || name === 'strict-transport-security') continue
    if (name !== 'vary' && res.hasHeader(name)) continue
    kept[name] = headers[name]
  }
  const ownVary = res.getHeader('vary')
  if (ownVary !== undefined) kept['vary'] = [ownVary, kept['vary'] ?? []].flat().join(', ')
  return kept
}

/** Headers that `Connection` names go no further (RFC 9110 §7.6.1); mostly it names none. */
function namedIn(connection: string | string[] | undefined): Set<string> | undefined {
  if (connection === undefined || connection === 'keep-alive' || connection === 'close') return
  const names = [connection].flat().join(',').toLowerCase().split(',')
  return new Set(names.map((name) => name.trim()))
}

export function contentLengthOf(headers: IncomingHttpHeaders): number | undefined {
  const text = headers['content-length']
  return text === undefined ? undefined : Number(text)
}

/** RFC 9110 §6.5.1: a trailer frames no message, authenticates nobody and controls no cache, connection or content. */
const NO_TRAILER =
  /^(?:content-|access-control-|x-request-id$|(?:set-)?cookie$|(?:www-)?authenticat|authorization$|cache-control$|expires$|vary$|strict-transport-security$|location$|retry-after$|ratelimit|dpop)/

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
