import type { Log } from './log.ts'
import { createTracer, type FinishedSpan } from './spans.ts'
import type { Tracing } from './tracing.ts'

export type OtlpTracingOptions = {
  /** The collector's address, without `/v1/traces`. */
  endpoint: string
  /** The value of the header of that name, where the collector asks for one. */
  authorization: string | undefined
  sampleRatio: number
  /** What is said of the program: `service.name` and the like. */
  resource: Readonly<Record<string, string>>
  log: Log
}

/** The defaults of OpenTelemetry's batch processor. */
const SEND_INTERVAL_MS = 5000
const MAX_WAITING = 2048
const MAX_BATCH = 512
const TIMEOUT_MS = 5000

/**
 * Spans as OTLP over HTTP, in its JSON encoding. Nobody waits for a collector: what it does not take is dropped, which the log
 * says once.
 */
export function createOtlpTracing(options: OtlpTracingOptions): Tracing {
  const { endpoint, authorization, sampleRatio, log } = options
  const resource = { attributes: keyValues(options.resource) }
  const url = `${endpoint.replace(/\/$/, '')}/v1/traces`
  const headers = {
    'content-type': 'application/json',
    ...(authorization !== undefined && { authorization }),
  }
  let waiting: FinishedSpan[] = []
  let dropped = 0
  let hasFailed = false
  /** Whether what is on its way was taken. */
  let sending: Promise<boolean> | undefined

  async function post(spans: readonly FinishedSpan[]): Promise<void> {
    const scopeSpans = [{ scope: { name: 'gatehouse' }, spans: spans.map(toOtlp) }]
    const response = await fetch(url, {
      method: 'POST',
      redirect: 'error',
      headers,
      body: JSON.stringify({ resourceSpans: [{ resource, scopeSpans }] }),
      signal: AbortSignal.timeout(TIMEOUT_MS),
    })
    await response.arrayBuffer()
    if (!response.ok) throw new Error(`the collector answers ${response.status}`)
  }

  async function sendBatch(): Promise<boolean> {
    const batch = waiting.slice(0, MAX_BATCH)
    waiting = waiting.slice(MAX_BATCH)
    try {
      await post(batch)
      if (hasFailed) log.info({ event: 'tracing.sent' }, `spans are taken again; ${dropped} lost`)
      hasFailed = false
      dropped = 0
      return true
    } catch (error) {
      dropped += batch.length
      if (!hasFailed) log.warn({ event: 'tracing.unsent', url, err: error }, 'spans are not taken')
      hasFailed = true
      return false
    }
  }

  /** Gives whether it was taken, or there was nothing to send. */
  function send(): Promise<boolean> {
    if (waiting.length === 0) return sending ?? Promise.resolve(true)
    sending ??= sendBatch().finally(() => {
      sending = undefined
    })
    return sending
  }

  const timer = setInterval(() => void send(), SEND_INTERVAL_MS).unref()
  const tracer = createTracer({
    sampleRatio,
    now: () => performance.timeOrigin + performance.now(),
    onEnd(span) {
      if (waiting.length >= MAX_WAITING) dropped += 1
      else waiting.push(span)
      if (waiting.length >= MAX_BATCH) void send()
    },
  })
  return {
    tracer,
    async close() {
      clearInterval(timer)
      // After the first that is not taken the others would only wait.
      let isTaken = (await sending) ?? true
      while (isTaken && waiting.length > 0) isTaken = await send()
    },
  }
}

const KINDS = { server: 2, client: 3 } as const
const STATUS_ERROR = 2

/** opentelemetry-proto, `trace.proto`, in JSON: ids in hex, times as decimal strings of nanoseconds. */
function toOtlp(span: FinishedSpan) {
  const { traceId, spanId, parentSpanId, name, kind, startMs, endMs, attributes } = span
  return {
    traceId,
    spanId,
    ...(parentSpanId !== undefined && { parentSpanId }),
    name,
    kind: KINDS[kind],
    startTimeUnixNano: nanosecondsOf(startMs),
    endTimeUnixNano: nanosecondsOf(endMs),
    attributes: keyValues(attributes),
    status: span.hasFailed ? { code: STATUS_ERROR } : {},
  }
}

const nanosecondsOf = (ms: number): string => `${Math.round(ms * 1000)}000`

const keyValues = (attributes: Readonly<Record<string, string | number | undefined>>) =>
  Object.entries(attributes).flatMap(([key, value]) =>
    value === undefined ? [] : [{ key, value: anyValue(value) }],
  )

function anyValue(value: string | number) {
  if (typeof value === 'string') return { stringValue: value }
  return Number.isInteger(value) ? { intValue: String(value) } : { doubleValue: value }
}
