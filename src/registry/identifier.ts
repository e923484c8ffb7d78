import { z } from 'zod'

/**
 * An id of a tenant or a client. RFC 6749 §2.2 lets a server choose; these characters need no escaping in URLs, Basic
 * credentials or file names. `.` and `..` would: as a segment of a path they mean another place (RFC 3986 §5.2.4).
 */
export const identifierSchema = z
  .string()
  .regex(/^(?!\.{1,2}$)[A-Za-z0-9._~-]{1,128}$/, 'must be 1 to 128 of A-Z a-z 0-9 . _ ~ -')

/** What people call something; no control characters and no lone surrogates, so that it can be printed anywhere. */
export const displayNameSchema = z
  .string()
  .max(200)
  .regex(/^[^\p{Cc}\p{Cs}]*$/u, 'has characters that cannot be printed')

/** Scopes joined by single spaces (RFC 6749 §3.3), each once. */
export const scopeSchema = z
  .string()
  .max(1000)
  .regex(/^[\x21\x23-\x5B\x5D-\x7E]+( [\x21\x23-\x5B\x5D-\x7E]+)*$/, 'is not a list of scopes')
  .transform((scope) => [...new Set(scope.split(' '))].join(' '))

/** Seconds since the epoch. */
export const epochSecondsSchema = z.int().nonnegative().max(253_402_300_799)
