import { AuthError } from '../kernel/errors.ts'
import { isObject } from '../kernel/is-object.ts'

type Members = Readonly<Record<string, unknown>>

/** A compact JWS (RFC 7515 §7.1) that is well formed; nothing in it has been verified. */
export type CompactJws = {
  header: Members
  payload: Members
  signingInput: string
  signature: Buffer
}

const MAX_TOKEN_LENGTH = 8192
const BASE64URL = /^[A-Za-z0-9_-]+$/

/**
 * Splits and decodes a token of at most 8192 characters. Anything ambiguous is an AuthError `invalid_token`: another
 * serialization, a JWE, an alphabet or spelling that is not canonical base64url, a JSON member that occurs twice.
 */
export const parseCompactJws = (token: string): CompactJws => parseWith(parseSegment, token)

/** The same for many tokens: those of one issuer mostly begin with the same header, which is read once. */
export function createJwsParser(): (token: string) => CompactJws {
  let known: { segment: string; header: Members } | undefined
  const headerOf = (segment: string): Members => {
    if (known?.segment !== segment) {
      known = { segment: copyOf(segment), header: parseSegment(segment) }
    }
    return known.header
  }
  return (token) => parseWith(headerOf, token)
}

/** Part of a string keeps all of it in memory, here a token. */
const copyOf = (segment: string): string => Buffer.from(segment, 'latin1').toString('latin1')

function parseWith(headerOf: (segment: string) => Members, token: string): CompactJws {
  if (token.length > MAX_TOKEN_LENGTH) throw malformed('token_too_long')
  const [header, payload, signature, more] = token.split('.', 4)
  if (!header || !payload || !signature || more !== undefined) throw malformed('not_a_compact_jws')
  return {
    header: headerOf(header),
    payload: parseSegment(payload),
    signingInput: token.slice(0, header.length + 1 + payload.length),
    signature: decodeCanonical(signature),
  }
}

const parseSegment = (segment: string): Members => parseJsonObject(decodeCanonical(segment))

/** Base64url leaves spare bits in its last character: only the spelling that an encoder makes is accepted. */
function decodeCanonical(segment: string): Buffer {
  const bytes = Buffer.from(segment, 'base64url')
  if (bytes.toString('base64url') === segment) return bytes
  throw malformed(BASE64URL.test(segment) ? 'base64url_not_canonical' : 'not_a_compact_jws')
}

const utf8 = new TextDecoder('utf-8', { fatal: true })

function parseJsonObject(bytes: Buffer): Members {
  let text: string
  let value: unknown
  try {
    text = utf8.decode(bytes)
    value = JSON.parse(text)
  } catch {
    throw malformed('not_json')
  }
  if (!isObject(value)) throw malformed('not_a_json_object')
  if (!hasUniqueMembers(text, value)) throw malformed('duplicate_member')
  return value
}

/**
 * Of a member that occurs twice, parsing keeps one. Most issuers write JSON as we do; where the text has another form, each
 * colon outside a string belongs to a member, so a repeated name shows in the count.
 */
function hasUniqueMembers(json: string, value: object): boolean {
  return JSON.stringify(value) === json || countMembersOfText(json) === countMembers(value)
}

const countMembersOfText = (json: string): number =>
  json.replace(/"(?:[^"\\]|\\.)*"/g, '').split(':').length - 1

function countMembers(value: unknown): number {
  if (Array.isArray(value)) return value.reduce<number>((sum, item) => sum + countMembers(item), 0)
  if (!isObject(value)) return 0
  const members = Object.values(value)
  return members.reduce<number>((sum, member) => sum + countMembers(member), members.length)
}

function malformed(reason: string): AuthError {
  return new AuthError('invalid_token', 'The access token is malformed.', { reason })
}
