import fc from 'fast-check'
import { expect, test } from 'vitest'
import { createTracer, type FinishedSpan } from '../../src/kernel/spans.ts'

function tracerWith(sampleRatio: number) {
  const ended: FinishedSpan[] = []
  let now = 0
  const tracer = createTracer({
    sampleRatio,
    onEnd: (span) => ended.push(span),
    now: () => (now += 1),
  })
  return { tracer, ended }
}
const PARENT = `00-${'a'.repeat(32)}-${'b'.repeat(16)}`

test('a trace that comes in goes on, recorded or not as its flag says, whatever the ratio is', () => {
  for (const ratio of [0, 1]) {
    const { tracer, ended } = tracerWith(ratio)
    const recorded = tracer.start(`${PARENT}-01`)
    expect(recorded.traceparent).toMatch(/^00-a{32}-(?!b{16})[0-9a-f]{16}-01$/)
    recorded.end()
    const silent = tracer.start(`${PARENT}-00`)
    expect(silent.traceparent).toMatch(/^00-a{32}-(?!b{16})[0-9a-f]{16}-00$/)
    silent.child('GET').end()
    silent.end()
    expect(ended).toMatchObject([{ traceId: 'a'.repeat(32), parentSpanId: 'b'.repeat(16) }])
  }
})

test('what is no traceparent begins a trace of its own', () => {
  const { tracer } = tracerWith(1)
  const invalid = fc.oneof(
    fc.string(),
    fc.constantFrom(
      undefined,
      `${PARENT}-01, ${PARENT}-01`,
      `01${PARENT.slice(2)}-01`,
      `00-${'0'.repeat(32)}-${'b'.repeat(16)}-01`,
      `00-${'a'.repeat(32)}-${'0'.repeat(16)}-01`,
      `${PARENT.toUpperCase()}-01`,
    ),
  )
  fc.assert(
    fc.property(invalid, (header) => {
      const { traceparent } = tracer.start(header)
      expect(traceparent).toMatch(/^00-[0-9a-f]{32}-[0-9a-f]{16}-01$/)
      expect(traceparent).not.toContain('a'.repeat(32))
    }),
  )
})

test('of the traces that begin here the ratio is recorded: none, all, or about as many', () => {
  const recordedOf = (ratio: number) => {
    const { tracer, ended } = tracerWith(ratio)
    for (let i = 0; i < 2000; i += 1) tracer.start(undefined).end()
    return ended.length
  }
  expect([recordedOf(0), recordedOf(1)]).toEqual([0, 2000])
  // Ten standard deviations to either side.
  expect(Math.abs(recordedOf(0.25) - 500)).toBeLessThan(194)
})

test('a child is a part of its parent, and a span ends once', () => {
  const { tracer, ended } = tracerWith(1)
  const parent = tracer.start(undefined)
  const child = parent.child('POST')
  child.end({ hasFailed: true, attributes: { 'error.type': 'x' } })
  parent.set({ a: 1 })
  parent.end({ name: 'POST /x', attributes: { b: 2 } })
  parent.end({ name: 'again' })
  const [of, by] = ended
  expect(ended).toHaveLength(2)
  expect(of).toMatchObject({ kind: 'client', name: 'POST', hasFailed: true })
  expect(by).toMatchObject({ kind: 'server', name: 'POST /x', attributes: { a: 1, b: 2 } })
  expect([of?.traceId, of?.parentSpanId]).toEqual([by?.traceId, by?.spanId])
  expect(parent.traceparent).toBe(`00-${by?.traceId}-${by?.spanId}-01`)
})
