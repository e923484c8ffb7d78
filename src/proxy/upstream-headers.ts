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
  if (span !== undefined) replaceTraceparent(sent, span.traceparent)
  else if (!headers.isTraced) sent.push('traceparent', newTraceparent())
  return sent
}

/** `tracestate` goes along as it came (W3C Trace Context §3.3). */
function replaceTraceparent(sent: string[], traceparent: string): void {
  for (let i = 0; i < sent.length; i += 2) {
    if (sent[i]?.toLowerCase() !== 'traceparent') continue
    sent[i + 1] = traceparent
    return
  }
  sent.push('traceparent', traceparent)
}

/** W3C Trace Context §3.2: version, trace id, parent id, not sampled. */
function newTraceparent(): string {
  const uuid = randomUUID()
  const parent = `${uuid.slice(19, 23)}${uuid.slice(24)}`
  return `00-${uuid.slice(0, 8)}${uuid.slice(9, 13)}${uuid.slice(14, 18)}${parent}-${parent}-00`
}
