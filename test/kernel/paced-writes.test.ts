import { expect, test } from 'vitest'
import { createPacedWrites } from '../../src/kernel/paced-writes.ts'
import { waitUntil } from '../support/wait-until.ts'

test('writes at once, never twice at a time, and once for all that was asked meanwhile', async () => {
  const gates: (() => void)[] = []
  let running = 0
  let most = 0
  const writes = createPacedWrites(
    async () => {
      running += 1
      most = Math.max(most, running)
      await new Promise<void>((resolve) => gates.push(resolve))
      running -= 1
    },
    { pauseMs: 1, onFailure: () => undefined },
  )
  writes.request()
  expect(gates).toHaveLength(1)
  for (let i = 0; i < 10; i += 1) writes.request()
  gates[0]?.()
  await waitUntil('the second write', async () => gates.length === 2)
  gates[1]?.()
  await writes.close()
  expect([gates.length, most]).toEqual([2, 1])
})

test('closing writes what was asked for and nothing else, also after a failure', async () => {
  const failures: unknown[] = []
  let written = 0
  const writes = createPacedWrites(
    async () => {
      written += 1
      if (written === 1) throw new Error('the disk is full')
    },
    { pauseMs: 60_000, onFailure: (error) => failures.push(error) },
  )
  writes.request()
  await waitUntil('the failure', async () => failures.length === 1)
  writes.request()
  expect(written).toBe(1)
  await writes.close()
  expect(written).toBe(2)
  writes.request()
  await writes.close()
  expect([written, failures.length]).toEqual([2, 1])
})
