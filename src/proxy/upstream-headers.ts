import { randomUUID } from 'node:crypto'
import type { Call } from './call.ts'
import type { Span } from '../kernel/tracing.ts'
import type { RequestHeaders } from './request-headers.ts'

/** An answer is metered as it passes, which no caller may be able to prevent. */
const UNENCODED = 'accept-encoding: identity\r\n'

/**
 * What goes to the model server: what came and may pass, and who calls; lines with their ends. `span` is that of the request to it,
 * where calls are traced.
 */
export function upstreamHeaders(
  call: Call,
  headers: RequestHeaders,
  span: Span | undefined,
): string {
  const identity = call.caller?.identityLines ?? ''
  // `tracestate` goes along as it came (W3C Trace Context §3.3).
  const traceparent = span?.traceparent ?? headers.traceparent ?? newTraceparent()
  return `${headers.forwardable}${UNENCODED}x-request-id: ${call.requestId}\r\n${identity}traceparent: ${traceparent}\r\n`
}

/** W3C Trace Context §3.2: version, trace id, parent id, not sampled. */
function newTraceparent(): string {
  const traceId = randomUUID().replaceAll('-', '')
  return `00-${traceId}-${traceId.slice(16)}-00`
}
