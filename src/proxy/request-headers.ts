import { AppError } from '../kernel/errors.ts'

export type RequestHeaders = {
  authorization: string | undefined
  /** Several are joined, and are then no proof (RFC 9449 §4.3). */
  dpop: string | undefined
  /** Bytes of the body; undefined when it is chunked or there is none. */
  contentLength: number | undefined
  isChunked: boolean
  expectsContinue: boolean
  /** The first that is valid (W3C Trace Context §3.2). */
  traceparent: string | undefined
  /** What may go upstream, as lines with their ends: no hop-by-hop header, credential or identity. */
  forwardable: string
}

/** RFC 9110 §7.6.1, and what belongs to the connection with us rather than to the request. */
export const HOP_BY_HOP = new Set([
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
])

/** Ours to set or to withhold: a caller can neither forge them nor see them pass. */
const WITHHELD = new Set([
  'accept-encoding',
  'authorization',
  'dpop',
  'expect',
  'forwarded',
  'host',
  'x-request-id',
  'client-cert',
  'client-cert-chain',
])
const WITHHELD_PREFIX = /^x-(?:gatehouse|forwarded)(?:-|$)/
const ODD = /[^a-z0-9-]/
const EVERY_ODD = /[^a-z0-9-]/g
const TRACEPARENT = /^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$/

/**
 * Sorts what came in, once, from the raw list (names in turn with values), where nothing has been merged or dropped.
 * AppError `malformed_request` for two Authorization, Host or Content-Length headers.
 */
export function readRequestHeaders(rawHeaders: readonly string[]): RequestHeaders {
  const headers: RequestHeaders = {
    authorization: undefined,
    dpop: undefined,
    contentLength: undefined,
    isChunked: false,
    expectsContinue: false,
    traceparent: undefined,
    forwardable: '',
  }
  const connectionNames = namesInConnection(rawHeaders)
  let hosts = 0
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    const rawName = rawHeaders[i] ?? ''
    const value = rawHeaders[i + 1] ?? ''
    const name = rawName.toLowerCase()
    switch (name) {
      case 'authorization':
        if (headers.authorization !== undefined) throw repeated('Authorization')
        headers.authorization = value
        continue
      case 'dpop':
        headers.dpop = headers.dpop === undefined ? value : `${headers.dpop}, ${value}`
        continue
      case 'host':
        hosts += 1
        if (hosts > 1) throw repeated('Host')
        continue
      case 'content-length':
        if (headers.contentLength !== undefined) throw repeated('Content-Length')
        headers.contentLength = Number(value)
        break
      case 'transfer-encoding':
        headers.isChunked = true
        continue
      case 'expect':
        headers.expectsContinue = value.toLowerCase() === '100-continue'
        continue
      case 'traceparent':
        if (TRACEPARENT.test(value)) headers.traceparent ??= value
        continue
      default:
        if (isWithheld(name) || connectionNames?.has(name) === true) continue
    }
    headers.forwardable += `${rawName}: ${value}\r\n`
  }
  return headers
}

/** CGI (RFC 3875 §4.1.18) and its like read `_` as `-`, and some what else a name may have: all spellings of one count. */
export function isWithheld(name: string): boolean {
  const dashed = ODD.test(name) ? name.replace(EVERY_ODD, '-') : name
  const isDisguised = dashed !== name && dashed === 'content-length'
  return (
    isDisguised || HOP_BY_HOP.has(dashed) || WITHHELD.has(dashed) || WITHHELD_PREFIX.test(dashed)
  )
}

function namesInConnection(rawHeaders: readonly string[]): Set<string> | undefined {
  let names: Set<string> | undefined
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    if (rawHeaders[i]?.toLowerCase() !== 'connection') continue
    const value = rawHeaders[i + 1]?.toLowerCase() ?? ''
    if (value === 'keep-alive' || value === 'close') continue
    names ??= new Set()
    for (const name of value.split(',')) names.add(name.trim())
  }
  return names
}

function repeated(name: string): AppError {
  return new AppError('malformed_request', `More than one ${name} header.`, {
    reason: 'repeated_header',
    headers: { connection: 'close' },
  })
}
