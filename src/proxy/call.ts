import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { AuditFacts } from '../audit/record.ts'
import type { AuditTrail } from '../audit/trail.ts'
import { AppError } from '../kernel/errors.ts'
import type { Log } from '../kernel/log.ts'
import { requestIdOf } from '../kernel/request-id.ts'
import type { Span, Tracer } from '../kernel/tracing.ts'
import type { GoodProof } from '../tokens/dpop-proof.ts'
import type { Caller } from './authenticate.ts'
import { isQuestion, type Progress } from './attempt.ts'
import { Ending } from './ending.ts'
import type { Counted } from './limits.ts'
import type { ProxyMetrics } from './metrics.ts'
import type { Slot } from './upstream.ts'

/** One request from its headers to the end of its answer, with what has become known of it. */
export type Call = {
  readonly req: IncomingMessage
  readonly res: ServerResponse
  readonly requestId: string
  readonly startedAtMs: number
  /** When the client had all of the answer, or was gone. */
  endedAtMs: number
  /** Where calls are traced. */
  readonly span: Span | undefined
  /** Kept, because the request forgets its connection when that ends. */
  readonly socket: Socket
  readonly remoteAddress: string | undefined
  /** The path of the route; `none` while it matches none, so that metrics stay bounded. */
  route: string
  caller: Caller | undefined
  /** Of the caller's key, where the token is bound to one: to be used up when the call is let in. */
  proof: GoodProof | undefined
  /** Method and route that a proxy of somebody else has asked about. */
  asked: string | undefined
  /** Where limits apply: what the request was counted as, and is settled with when it is over. */
  counted: Counted | undefined
  readonly ending: Ending
  /** Where it was sent. */
  slot: Slot | undefined
  readonly progress: Progress
  /** Of the bodies, as far as they have come. */
  readonly bytes: { in: number; out: number }
  /** How long it waited for its turn. */
  queuedMs: number
  /** What the model server says that it took, once known. */
  usage: AuditFacts['usage']
  refusal: AppError | undefined
  /** Whether the failure came in the middle of an answer that had been allowed. */
  hasBrokenOff: boolean
}

export function openCall(
  req: IncomingMessage,
  res: ServerResponse,
  tracer: Tracer | undefined,
): Call {
  return {
    req,
    res,
    requestId: requestIdOf(req),
    startedAtMs: performance.now(),
    endedAtMs: NaN,
    span: tracer?.start(req.headers['traceparent']),
    socket: req.socket,
    remoteAddress: req.socket.remoteAddress,
    route: 'none',
    caller: undefined,
    proof: undefined,
    asked: undefined,
    counted: undefined,
    ending: new Ending(),
    slot: undefined,
    progress: { stage: 'unsent' },
    bytes: { in: 0, out: 0 },
    queuedMs: 0,
    usage: undefined,
    refusal: undefined,
    hasBrokenOff: false,
  }
}

export type CallRecords = {
  log: Log
  metrics: ProxyMetrics
  audit: Pick<AuditTrail, 'record'>
}

/** Writes the one line, the one audit record and the one count that every call leaves behind. */
export function recordCall(call: Call, { log, metrics, audit }: CallRecords): void {
  const { req, res, refusal } = call
  const durationMs = call.endedAtMs - call.startedAtMs
  const hasLeft = refusal === undefined && !res.writableFinished
  const outcome = refusal?.code ?? (hasLeft ? 'client_gone' : 'allowed')
  metrics.observeCall(call.route, outcome, durationMs / 1000)

  const token = call.caller?.token
  const isBroken = call.hasBrokenOff && !(call.ending.reason instanceof AppError)
  const isFault = refusal !== undefined && refusal.status >= 500
  const facts = {
    event: 'proxy.call',
    request_id: call.requestId,
    decision: refusal === undefined || isBroken ? 'allow' : 'deny',
    reason: isBroken ? 'upstream_broke_off' : (refusal?.reason ?? outcome),
    tenant_id: token?.tenantId,
    client_id: token?.clientId,
    sub: token?.subject,
    jti: token?.jti,
    kid: token?.kid,
    remote_addr: call.remoteAddress,
    target: call.asked,
    method: req.method,
    route: call.route,
    status: res.headersSent ? res.statusCode : undefined,
    upstream: call.slot?.upstream.url,
    bytes_in: call.bytes.in,
    bytes_out: call.bytes.out,
    queued_ms: toMicroseconds(call.queuedMs),
    duration_ms: toMicroseconds(durationMs),
    usage: call.usage,
  } as const
  if (refusal !== undefined) metrics.countRefusal(facts.reason)
  if (isFault) log.error({ ...facts, err: refusal }, 'proxy call')
  else log.info(facts, 'proxy call')
  if (call.span !== undefined) endSpan(call.span, facts, call)
  audit.record(facts)
}

/** In milliseconds still, to the microsecond. */
const toMicroseconds = (ms: number): number => Math.round(ms * 1000) / 1000

type Facts = Pick<
  AuditFacts,
  'reason' | 'tenant_id' | 'client_id' | 'route' | 'status' | 'decision' | 'queued_ms'
>

/** Who called, as the client: not as the person, and no part of the path or of a body that the route does not say. */
function endSpan(span: Span, facts: Facts, { req, requestId, refusal }: Call): void {
  const { method = '' } = req
  const route = facts.route === 'none' ? undefined : facts.route
  const isFault = refusal !== undefined && refusal.status >= 500
  span.end({
    name: route === undefined ? method : `${method} ${route}`,
    hasFailed: isFault,
    attributes: {
      'http.request.method': method,
      'http.route': route,
      'http.response.status_code': facts.status,
      'error.type': isFault ? facts.reason : undefined,
      'gatehouse.request_id': requestId,
      'gatehouse.decision': facts.decision,
      'gatehouse.reason': facts.reason,
      'gatehouse.tenant_id': facts.tenant_id,
      'gatehouse.client_id': facts.client_id,
      'gatehouse.queued_ms': facts.queued_ms,
    },
  })
}

/** Once more does nothing: a call that fails is over at the model server before it is answered. */
export function settleCall({ req, counted, progress, usage }: Call): void {
  const isCut = progress.stage === 'sent' && !isQuestion(req.method ?? '')
  counted?.settle(usage, { wasServed: progress.stage !== 'unsent', isCut })
}

/** How long a client that has been answered may go on sending its body, so that it finds the time to read why. */
const LINGER_MS = 10_000

/** Lets the rest of a body that nobody wants run dry, so that the connection is good for the next request. */
export function discardRest({ req, socket }: Call): void {
  if (req.complete) return
  req.resume()
  setTimeout(() => req.complete || socket.destroy(), LINGER_MS).unref()
}
