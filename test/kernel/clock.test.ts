import fc from 'fast-check'
import { expect, test } from 'vitest'
import { createIsoTime } from '../../src/kernel/clock.ts'

test('the time in RFC 3339 is that of the clock, whichever way the clock goes', () => {
  const moves = fc.oneof(fc.integer({ min: -2000, max: 2000 }), fc.constantFrom(1, -1, 86_400_000))
  const start = fc.integer({ min: 10_000_000_000, max: 253_000_000_000_000 })
  fc.assert(
    fc.property(start, fc.array(moves, { maxLength: 20 }), (startMs, steps) => {
      let nowMs = startMs
      const isoTime = createIsoTime(() => nowMs)
      for (const step of [0, ...steps]) {
        nowMs += step
        expect(isoTime()).toBe(new Date(nowMs).toISOString())
      }
    }),
  )
})
