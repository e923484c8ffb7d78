import { expect, test } from 'vitest'
import { createYoungCollection } from '../../src/cli/garbage.ts'

test('a young collection frees buffers that nobody holds any more', async () => {
  const collect = createYoungCollection()
  const makeGarbage = () => {
    for (let i = 0; i < 300; i += 1) Buffer.alloc(65_536)
  }
  collect()
  const before = process.memoryUsage().arrayBuffers
  makeGarbage()
  expect(process.memoryUsage().arrayBuffers - before).toBeGreaterThan(5_000_000)
  collect()
  await expect.poll(() => process.memoryUsage().arrayBuffers - before).toBeLessThan(1_000_000)
})
