/** Names of attribute types that have more than one (RFC 4514 §3, RFC 4519, RFC 5280 Appendix A). */
const ALIASES: Readonly<Record<string, string>> = {
  e: 'emailaddress',
  email: 'emailaddress',
  s: 'st',
  surname: 'sn',
  '0.9.2342.19200300.100.1.1': 'uid',
  '0.9.2342.19200300.100.1.25': 'dc',
  '1.2.840.113549.1.9.1': 'emailaddress',
  '2.5.4.3': 'cn',
  '2.5.4.5': 'serialnumber',
  '2.5.4.6': 'c',
  '2.5.4.7': 'l',
  '2.5.4.8': 'st',
  '2.5.4.10': 'o',
  '2.5.4.11': 'ou',
}

/**
 * A distinguished name as RFC 4514 writes it, in one spelling for comparison: types in lower case, escapes undone, the
 * values of one RDN in order. Values are compared letter by letter. Undefined when it is none.
 */
export function canonicalDn(text: string): string | undefined {
  const rdns = splitUnescaped(text, ',').map(canonicalRdn)
  return rdns.includes(undefined) ? undefined : JSON.stringify(rdns)
}

/** The same of a subject as Node gives it: one RDN a line, the most general first. */
export function canonicalSubject(subject: string): string | undefined {
  const rdns = subject.split('\n').map(canonicalRdn).toReversed()
  return rdns.includes(undefined) ? undefined : JSON.stringify(rdns)
}

function canonicalRdn(text: string): string[] | undefined {
  const attributes = splitUnescaped(text, '+').map((attribute) => {
    const [, type, value] =
      /^\s*([A-Za-z][A-Za-z0-9-]*|\d+(?:\.\d+)+)\s*=\s*(.*)$/s.exec(attribute) ?? []
    // A value in BER (`#…`) has no text to compare.
    if (type === undefined || value === undefined || value.startsWith('#')) return undefined
    const name = type.toLowerCase()
    return `${ALIASES[name] ?? name}=${unescape(value)}`
  })
  return attributes.every((each) => each !== undefined) ? attributes.toSorted() : undefined
}

function splitUnescaped(text: string, separator: ',' | '+'): string[] {
  const parts = ['']
  for (const [token] of text.matchAll(/\\.|[^\\]|\\$/gs)) {
    if (token === separator) parts.push('')
    else parts.push(`${parts.pop() ?? ''}${token}`)
  }
  return parts
}

/** RFC 4514 §2.4: `\,` is a comma, `\C3\A4` two octets of UTF-8; blanks at the ends count only when escaped. */
function unescape(value: string): string {
  const trimmed = value.replace(/(?<!\\) +$/, '')
  return trimmed.replaceAll(
    /((?:\\[0-9A-Fa-f]{2})+)|\\(.)/gs,
    (_match, octets?: string, one?: string) =>
      octets === undefined
        ? (one ?? '')
        : Buffer.from(octets.replaceAll('\\', ''), 'hex').toString('utf8'),
  )
}
