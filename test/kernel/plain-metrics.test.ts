import fc from 'fast-check'
import { AggregatorRegistry, Histogram, Registry } from 'prom-client'
import { expect, test } from 'vitest'
import { createPlainHistogram } from '../../src/kernel/plain-histogram.ts'
import { createLabelledCounter, createPairCounter } from '../../src/kernel/tally.ts'

const buckets = [0.001, 0.5, 1, 30]
const value = fc.oneof(
  fc.constantFrom(0, 1e6, ...buckets),
  fc.double({ min: 0, max: 60, noNaN: true }),
)

test('a plain histogram shows what prom-client’s own shows, as text and as JSON', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(value, { maxLength: 30 }), async (values) => {
      const [ours, theirs] = [new Registry(), new Registry()]
      const named = { name: 'test_seconds', help: 'h' }
      const observe = createPlainHistogram({ ...named, buckets, registers: [ours] })
      const histogram = new Histogram({ ...named, buckets, registers: [theirs] })
      for (const each of values) {
        observe(each)
        histogram.observe(each)
      }
      expect(await ours.metrics()).toBe(await theirs.metrics())
      const aggregated = async (registry: Registry) =>
        AggregatorRegistry.aggregate([
          await registry.getMetricsAsJSON(),
          await registry.getMetricsAsJSON(),
        ]).metrics()
      expect(await aggregated(ours)).toBe(await aggregated(theirs))
    }),
    { numRuns: 30 },
  )
})

test('a counter counts by its label, and by two', async () => {
  const registers = [new Registry()]
  const one = createLabelledCounter({ name: 'one_total', help: 'h', label: 'reason', registers })
  const two = createPairCounter({ name: 'two_total', help: 'h', labels: ['a', 'b'], registers })
  for (const reason of ['expired', 'revoked', 'expired']) one.count(reason)
  two.count('/x', 'allowed')
  two.count('/x', 'allowed')
  two.count('/y', 'not_found')
  const text = (await registers[0]?.metrics()) ?? ''
  expect(text.match(/^\w+\{.*$/gm)).toEqual([
    'one_total{reason="expired"} 2',
    'one_total{reason="revoked"} 1',
    'two_total{a="/x",b="allowed"} 2',
    'two_total{a="/y",b="not_found"} 1',
  ])
  expect(await registers[0]?.metrics()).toBe(text)
})

test('however many values a label is fed with, its series are bounded and nothing is lost', async () => {
  const registers = [new Registry()]
  const one = createLabelledCounter({ name: 'one_total', help: 'h', label: 'reason', registers })
  const two = createPairCounter({ name: 'two_total', help: 'h', labels: ['a', 'b'], registers })
  for (let i = 0; i < 1000; i += 1) {
    one.count(`forged-${i}`)
    two.count(`forged-${i}`, 'x')
    two.count('known', `forged-${i}`)
  }
  const samples = [...((await registers[0]?.metrics()) ?? '').matchAll(/^(\w+)\{.*\} (\d+)$/gm)]
  const sumOf = (name: string) =>
    samples.reduce((sum, [, found, count]) => (found === name ? sum + Number(count) : sum), 0)
  expect(samples.length).toBeLessThan(700)
  expect(sumOf('one_total')).toBe(1000)
  expect(sumOf('two_total')).toBe(2000)
})
