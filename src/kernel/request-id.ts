import { randomUUID } from 'node:crypto'
import type { IncomingMessage } from 'node:http'

const SANE_REQUEST_ID = /^[A-Za-z0-9._~-]{8,128}$/

/** The caller's `X-Request-Id` when it is 8 to 128 unreserved characters (RFC 3986 §2.3), else a new UUID. */
export function requestIdOf(req: IncomingMessage): string {
  const inbound = req.headers['x-request-id']
  if (typeof inbound === 'string' && SANE_REQUEST_ID.test(inbound)) return inbound
  // In one piece (`createIsoTime` says why): it is the same text, made of 20 pieces before.
  return randomUUID().normalize()
}
