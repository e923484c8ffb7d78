const UNRESERVED = /^[A-Za-z0-9._~-]$/

/**
 * An http(s) URI without query and fragment in one spelling, for the comparison of `htu` (RFC 9449 §4.3): scheme and
 * host in lower case, no default port, no dot segments, `/` for no path (RFC 3986 §6.2.2, §6.2.3), and unreserved
 * characters never percent-encoded. Undefined when it is none, or names a user.
 */
export function normaliseTargetUri(text: string): string | undefined {
  // A URL parser forgives what no URI has: blanks, control characters, backslashes.
  if (!/^https?:\/\/[\x21-\x5B\x5D-\x7E]+$/i.test(text)) return undefined
  // Before the parser sees them, as an encoded dot is a dot.
  const url = URL.parse(text.replaceAll(/%[0-9A-Fa-f]{2}/g, normaliseOctet))
  if (url === null || url.username !== '' || url.password !== '') return undefined
  return `${url.origin}${url.pathname}`
}

function normaliseOctet(encoded: string): string {
  const character = String.fromCharCode(Number.parseInt(encoded.slice(1), 16))
  return UNRESERVED.test(character) ? character : encoded.toUpperCase()
}
