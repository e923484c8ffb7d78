import { randomBytes } from 'node:crypto'
import type { Span, SpanAttributes, Tracer } from './tracing.ts'

export type FinishedSpan = {
  traceId: string
  spanId: string
  parentSpanId: string | undefined
  name: string
  /** Of a request that came in, or of one that went out. */
  kind: 'server' | 'client'
  startMs: number
  endMs: number
  attributes: SpanAttributes
  hasFailed: boolean
}

export type TracerOptions = {
  /** Of the traces that begin here; of others the caller has decided. */
  sampleRatio: number
  onEnd: (span: FinishedSpan) => void
  /** Milliseconds since the epoch, with fractions. */
  now: () => number
}

type Context = { traceId: string; isSampled: boolean }

/** Version 00 alone: the id of the trace, that of the caller's span, and whether the trace is recorded. */
const TRACEPARENT = /^00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})$/
const SAMPLED = 1
const NEVER = 2 ** 32

export function createTracer({ sampleRatio, onEnd, now }: TracerOptions): Tracer {
  /** By the id of the trace, so that everybody with the same ratio decides the same. */
  const isChosen = (traceId: string): boolean =>
    Number.parseInt(traceId.slice(-8), 16) < sampleRatio * NEVER

  function begin(
    { traceId, isSampled }: Context,
    parentSpanId: string | undefined,
    { name, kind }: Pick<FinishedSpan, 'name' | 'kind'>,
  ): Span {
    const spanId = randomBytes(8).toString('hex')
    const startMs = now()
    let attributes: SpanAttributes = {}
    let isOver = false
    return {
      traceparent: `00-${traceId}-${spanId}-${isSampled ? '01' : '00'}`,
      child: (childName) =>
        begin({ traceId, isSampled }, spanId, { name: childName, kind: 'client' }),
      set(more) {
        if (isSampled) attributes = { ...attributes, ...more }
      },
      end(ending = {}) {
        if (isOver || !isSampled) return
        isOver = true
        onEnd({
          traceId,
          spanId,
          parentSpanId,
          name: ending.name ?? name,
          kind,
          startMs,
          endMs: now(),
          attributes: { ...attributes, ...ending.attributes },
          hasFailed: ending.hasFailed ?? false,
        })
      },
    }
  }

  return {
    start(traceparent) {
      const text = typeof traceparent === 'string' ? traceparent : ''
      const [, traceId, parentSpanId, flags = ''] = TRACEPARENT.exec(text) ?? []
      const of = { name: 'request', kind: 'server' } as const
      if (traceId !== undefined) {
        const isSampled = (Number.parseInt(flags, 16) & SAMPLED) === SAMPLED
        return begin({ traceId, isSampled }, parentSpanId, of)
      }
      const fresh = randomBytes(16).toString('hex')
      return begin({ traceId: fresh, isSampled: isChosen(fresh) }, undefined, of)
    },
  }
}
