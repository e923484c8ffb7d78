import type { AccessToken } from '../tokens/access-token.ts'

/** Who calls, for whoever is behind us: a flat list of names and values. */
export function identityHeaders(token: AccessToken): string[] {
  return [
    'x-gatehouse-subject',
    headerSafe(token.subject),
    'x-gatehouse-client',
    headerSafe(token.clientId),
    'x-gatehouse-tenant',
    headerSafe(token.tenantId),
    'x-gatehouse-scope',
    token.scopes.map(headerSafe).join(' '),
    'x-gatehouse-token-id',
    headerSafe(token.jti),
  ]
}

/** The same as lines with their ends. */
export function identityLines(token: AccessToken): string {
  const headers = identityHeaders(token)
  let lines = ''
  for (let i = 0; i < headers.length; i += 2) lines += `${headers[i]}: ${headers[i + 1]}\r\n`
  return lines
}

/** The same of nobody, for who would take a missing header from the caller. */
export const NO_IDENTITY: readonly string[] = [
  'subject',
  'client',
  'tenant',
  'scope',
  'token-id',
].flatMap((part) => [`x-gatehouse-${part}`, ''])

/** Percent-encodes what is not visible ASCII, and `%` itself, so that no two identities look the same. */
function headerSafe(text: string): string {
  if (/^[\x21-\x24\x26-\x7E]*$/.test(text)) return text
  return Buffer.from(text, 'utf8').reduce((encoded, byte) => {
    const isPlain = byte > 0x20 && byte < 0x7f && byte !== 0x25
    const hex = byte.toString(16).toUpperCase().padStart(2, '0')
    return encoded + (isPlain ? String.fromCharCode(byte) : `%${hex}`)
  }, '')
}
