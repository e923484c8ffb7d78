/** What a span says; the names are those of OpenTelemetry's semantic conventions, or begin with `gatehouse.`. */
export type SpanAttributes = Readonly<Record<string, string | number | undefined>>

/** A piece of work in a trace that began elsewhere or here. */
export type Span = {
  /** What goes to whoever does a part of the work (W3C Trace Context §3.2). */
  readonly traceparent: string
  /** A request of ours to somebody else, which is a part of this. */
  child: (name: string) => Span
  set: (attributes: SpanAttributes) => void
  /** Once more does nothing. `hasFailed`: it is our fault, or that of whom we asked. */
  end: (ending?: { name?: string; hasFailed?: boolean; attributes?: SpanAttributes }) => void
}

/** Begins the span of a request that came in, in the trace of its `traceparent` where that is one. */
export type Tracer = { start: (traceparent: string | string[] | undefined) => Span }

export type Tracing = {
  tracer: Tracer
  /** Sends what has ended, for a few seconds at most. */
  close: () => Promise<void>
}
