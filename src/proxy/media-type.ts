import type { IncomingHttpHeaders } from 'node:http'

/**
 * The media type of a body, in lower case and without parameters, any `+json` as JSON (RFC 6839 §3.1); undefined when it is
 * encoded, or has none.
 */
export function identityTypeOf(headers: IncomingHttpHeaders): string | undefined {
  const { 'content-type': type, 'content-encoding': encoding = 'identity' } = headers
  if (encoding !== 'identity' && encoding.toLowerCase() !== 'identity') return undefined
  if (type === 'application/json') return type
  const named = type?.split(';', 1).join('').trim().toLowerCase()
  return named?.endsWith('+json') === true ? 'application/json' : named
}
