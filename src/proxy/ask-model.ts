import { AppError } from '../kernel/errors.ts'
import type { Span } from '../kernel/tracing.ts'
import type { Admission } from './admission.ts'
import type { FieldList } from './answer-parser.ts'
import { settleCall, type Call } from './call.ts'
import { forward } from './forward.ts'
import type { ReadAhead } from './read-ahead.ts'
import { readRequestBody } from './request-body.ts'
import type { RequestHeaders } from './request-headers.ts'
import type { Route } from './routes.ts'
import { forwardableTrailers } from './trailers.ts'
import { upstreamHeaders } from './upstream-headers.ts'
import type { Slot } from './upstream.ts'
import type { Upstreams } from './upstreams.ts'
import { createUsageMeter } from './usage-meter.ts'

/** The model servers, and what a call has to pass on its way there. */
export type ModelAccess = {
  upstreams: Pick<
    Upstreams,
    'takeForPublic' | 'release' | 'answered' | 'progressed' | 'abandoned' | 'failed' | 'move'
  >
  admission: Admission
  readAhead: ReadAhead
  /** Is told how much of a large body has passed. */
  onSpent: (bytes: number) => void
}

type Matched = { headers: RequestHeaders; route: Route }

/** Passes on a call that may pass: a caller's in its turn, with the answer metered. */
export async function askModel(access: ModelAccess, call: Call, matched: Matched): Promise<void> {
  if (call.caller === undefined) return askForPublic(access, call, matched)
  const { admission, readAhead } = access
  const admitted = admission.admit(call.caller.token, call)
  const slot =
    admitted instanceof Promise
      ? await readAhead.during(call.req, matched.headers.contentLength, admitted)
      : admitted
  const admittedAtMs = performance.now()
  try {
    if (admitted instanceof Promise) call.counted?.requireTokens()
    await send(access, call, matched, slot)
  } finally {
    // Before its slot goes to the next, who may be of the same account.
    settleCall(call)
    admission.release(slot, performance.now() - admittedAtMs)
  }
}

/** Past the queue and its slots: a monitor learns how a busy model server is, and no stranger keeps a caller waiting. */
async function askForPublic(access: ModelAccess, call: Call, matched: Matched): Promise<void> {
  const slot = access.upstreams.takeForPublic()
  try {
    await send(access, call, matched, slot)
  } finally {
    access.upstreams.release(slot)
  }
}

async function send(
  { upstreams, onSpent }: ModelAccess,
  call: Call,
  { headers, route }: Matched,
  slot: Slot,
): Promise<void> {
  const { req, res, ending } = call
  call.slot = slot
  ending.throwIfEnded()
  if (headers.expectsContinue && req.httpVersion === '1.1') res.writeContinue()
  const { maxBodyBytes, firstByteMs, idleMs } = route
  const meter = createUsageMeter(req.headers, (usage) => {
    call.usage = usage
  })
  const reading = readRequestBody(req, headers, {
    maxBytes: maxBodyBytes,
    idleMs,
    bytes: call.bytes,
    onChunk: (chunk) => meter.onRequestChunk(chunk),
    onSpent,
    ending,
  })
  const body = reading instanceof Promise ? await reading : reading
  if (body instanceof Buffer) meter.onRequestBody(body)
  const { method = '', url: target = '' } = req
  const span = call.span?.child(method)
  const request = {
    method,
    target,
    headers: upstreamHeaders(call, headers, span),
    isSized: headers.contentLength !== undefined,
    body,
    trailers: () => forwardableTrailers(req.rawTrailers, req.headers.connection),
  }
  const exchange = {
    res,
    ownHeaders: ownHeaders(call),
    bytes: call.bytes,
    progress: call.progress,
    firstByteMs,
    idleMs,
    ending,
    upstreams,
    observer: meter,
  }
  const forwarded = forward(exchange, slot, request)
  await (span === undefined ? forwarded : traced(span, call, forwarded))
}

function ownHeaders({ requestId, counted }: Call): FieldList {
  if (counted === undefined) return ['x-request-id', requestId]
  const { 'ratelimit-policy': policy, ratelimit } = counted.headers
  return ['x-request-id', requestId, 'ratelimit-policy', policy, 'ratelimit', ratelimit]
}

/** Ends the span of the request to the model server with what came of it. */
async function traced(span: Span, call: Call, exchange: Promise<void>): Promise<void> {
  let fault: AppError | undefined
  try {
    await exchange
  } catch (error) {
    if (error instanceof AppError && error.status >= 500) fault = error
    throw error
  } finally {
    const { hostname, port, protocol } = new URL(call.slot?.upstream.url ?? 'http://unknown')
    span.end({
      hasFailed: fault !== undefined,
      attributes: {
        'http.request.method': call.req.method,
        'server.address': hostname,
        'server.port': port === '' ? (protocol === 'https:' ? 443 : 80) : Number(port),
        'http.response.status_code': call.res.headersSent ? call.res.statusCode : undefined,
        'error.type': fault?.code,
      },
    })
  }
}
