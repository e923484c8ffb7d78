import type { FieldList } from './answer-parser.ts'
import { isWithheld } from './request-headers.ts'

/** RFC 9110 §6.5.1: a trailer frames no message, authenticates nobody and controls no cache, connection or content. */
const NO_TRAILER =
  /^(?:content-|access-control-|(?:set-)?cookie$|(?:www-)?authenticat|cache-control$|expires$|vary$|strict-transport-security$|location$|retry-after$|ratelimit)/

/** Those that may pass, either way: who reads trailers as headers must not be told by them what no header may say. */
export function forwardableTrailers(trailers: FieldList): [name: string, value: string][] {
  const kept: [string, string][] = []
  for (let i = 0; i + 1 < trailers.length; i += 2) {
    const name = trailers[i]?.toLowerCase() ?? ''
    if (!isWithheld(name) && !NO_TRAILER.test(name)) kept.push([name, trailers[i + 1] ?? ''])
  }
  return kept
}
