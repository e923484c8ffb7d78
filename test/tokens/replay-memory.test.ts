import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { AppError } from '../../src/kernel/errors.ts'
import { createReplayMemory } from '../../src/tokens/replay-memory.ts'

test('an id is new once within its lifetime, whatever else comes in between', () => {
  const step = fc.record({ id: fc.constantFrom('a', 'b', 'c'), waitSeconds: fc.nat(40) })
  fc.assert(
    fc.property(fc.array(step), (steps) => {
      let now = 0
      const isNew = createReplayMemory(() => now)
      const until = new Map<string, number>()
      for (const { id, waitSeconds } of steps) {
        now += waitSeconds * 1000
        const wasUsed = (until.get(id) ?? 0) > now
        expect(isNew(id, 60)).toBe(!wasUsed)
        if (!wasUsed) until.set(id, now + 60_000)
      }
    }),
  )
})

test('a full memory refuses rather than forget, and takes more once lifetimes end', () => {
  let now = 0
  const isNew = createReplayMemory(() => now, 2)
  expect([isNew('a', 60), isNew('b', 60)]).toEqual([true, true])
  expect(() => isNew('c', 60)).toThrow(AppError)
  expect(isNew('a', 60)).toBe(false)
  now = 60_000
  expect([isNew('c', 60), isNew('a', 60)]).toEqual([true, true])
})
