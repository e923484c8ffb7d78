import { namedIn } from './answer-headers.ts'
import type { FieldList } from './answer-parser.ts'
import { isWithheld } from './request-headers.ts'

export type Trailers = readonly (readonly [name: string, value: string])[]

/** RFC 9110 §6.5.1: a trailer frames and routes no message, modifies no request, authenticates nobody, controls no cache or answer. */
const NO_TRAILER =
  /^(?:content-|access-control-|if-|(?:set-)?cookie$|(?:www-)?authenticat|cache-control$|expires$|age$|date$|pragma$|warning$|vary$|range$|max-forwards$|strict-transport-security$|clear-site-data$|location$|retry-after$|ratelimit|dpop)/
const EVERY_ODD = /[^a-z0-9-]/g

/**
 * Those that may pass, either way, of a message with that `Connection`: who reads trailers as headers must not be told by them what no
 * header may say, however it is spelt.
 */
export function forwardableTrailers(
  trailers: FieldList,
  connection: string | undefined,
): [name: string, value: string][] {
  const named = namedIn(connection)
  const kept: [string, string][] = []
  for (let i = 0; i + 1 < trailers.length; i += 2) {
    const name = trailers[i]?.toLowerCase() ?? ''
    if (isWithheld(name) || named?.has(name) === true) continue
    if (!NO_TRAILER.test(name.replace(EVERY_ODD, '-'))) kept.push([name, trailers[i + 1] ?? ''])
  }
  return kept
}
