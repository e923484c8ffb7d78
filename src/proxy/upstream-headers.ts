import { randomUUID } from 'node:crypto'
import type { Call } from './call.ts'
import type { Span } from '../kernel/tracing.ts'
import type { RequestHeaders } from './request-headers.ts'

/** An answer is metered as it passes, which no caller may be able to prevent. */
const UNENCODED = ['accept-encoding', 'identity']

/**
 * What goes to the model server: what came and may pass, and who calls. A flat list of names and values. `span` is that of the
 * request to it, where calls are traced.
 */
export function upstreamHeaders(
  call: Call,
  headers: RequestHeaders,
  span: Span | undefined,
): string[] {
  const sent = [...headers.forwardable, ...UNENCODED, 'x-request-id', call.requestId]
  if (call.caller !== undefined) sent.push(...call.caller.identityHeaders)
  // `tracestate` goes along as it came (W3C Trace Context §3.3).
  sent.push('traceparent', span?.traceparent ?? headers.traceparent ?? newTraceparent())
  return sent
}

/** W3C Trace Context §3.2: version, trace id, parent id, not sampled. */
function newTraceparent(): string {
  const traceId = randomUUID().replaceAll('-', '')
  return `00-${traceId}-${traceId.slice(16)}-00`
}
