import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { createSpentChunks } from '../../src/proxy/spent-chunks.ts'

test('never more than 4 MB and one chunk are spent without a collection, and never less than 4 MB', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 65_536 }), { maxLength: 300 }), (chunks) => {
      let sinceCollection = 0
      const onSpent = createSpentChunks(() => {
        expect(sinceCollection).toBeGreaterThanOrEqual(4_000_000)
        sinceCollection = 0
      })
      for (const bytes of chunks) {
        sinceCollection += bytes
        onSpent(bytes)
        expect(sinceCollection).toBeLessThan(4_000_000)
      }
    }),
  )
})
