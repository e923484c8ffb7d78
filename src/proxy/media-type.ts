import type { IncomingHttpHeaders } from 'node:http'

/** The media type of a body, in lower case and without parameters; undefined when it is encoded, or has none. */
export function identityTypeOf(headers: IncomingHttpHeaders): string | undefined {
  const { 'content-type': type, 'content-encoding': encoding = 'identity' } = headers
  if (encoding.toLowerCase() !== 'identity') return undefined
  return type?.split(';', 1).join('').trim().toLowerCase()
}
