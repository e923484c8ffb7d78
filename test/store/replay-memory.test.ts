import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { AppError } from '../../src/kernel/errors.ts'
import { createReplayMemory } from '../../src/store/replay-memory.ts'

test('an id is new once within its lifetime, whatever else comes in between', () => {
  const step = fc.record({ id: fc.constantFrom('a', 'b', 'c'), waitSeconds: fc.nat(40) })
  fc.assert(
    fc.property(fc.array(step), (steps) => {
      let now = 0
      const isUnused = createReplayMemory(() => now)
      const until = new Map<string, number>()
      for (const { id, waitSeconds } of steps) {
        now += waitSeconds * 1000
        const wasUsed = (until.get(id) ?? 0) > now
        expect(isUnused({ id, ttlSeconds: 60 })).toBe(!wasUsed)
        if (!wasUsed) until.set(id, now + 60_000)
      }
    }),
  )
})

test('a full memory refuses rather than forget, and takes more once lifetimes end', () => {
  let now = 0
  const memory = createReplayMemory(() => now, 2)
  const isUnused = (id: string) => memory({ id, ttlSeconds: 60 })
  expect([isUnused('a'), isUnused('b')]).toEqual([true, true])
  expect(() => isUnused('c')).toThrow(AppError)
  expect(isUnused('a')).toBe(false)
  now = 60_000
  expect([isUnused('c'), isUnused('a')]).toEqual([true, true])
})
