import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { startBodyPace } from '../../src/proxy/body-pace.ts'

const IDLE_MS = 5000
const leastRate = { graceMs: 10_000, bytesPerSecond: 1000 }

function start() {
  const time = { now: 0 }
  let due: { atMs: number; task: () => void } | undefined
  let lateAtMs: number | undefined
  const pace = startBodyPace({
    idleMs: IDLE_MS,
    leastRate,
    onLate: () => void (lateAtMs = time.now),
    monotonicMs: () => time.now,
    schedule(task, ms) {
      due = { atMs: time.now + ms, task }
      return () => void (due = undefined)
    },
  })
  const advance = (ms: number) => {
    const untilMs = time.now + ms
    while (due !== undefined && due.atMs <= untilMs) {
      const { atMs, task } = due
      due = undefined
      time.now = atMs
      task()
    }
    time.now = untilMs
  }
  return { pace, advance, lateAtMs: () => lateAtMs }
}

describe('a body', () => {
  test('is late exactly when nothing came for too long, or too little came', () => {
    const step = fc.record({ gapMs: fc.nat(6000), bytes: fc.nat(5000) })
    fc.assert(
      fc.property(fc.array(step), (steps) => {
        const { pace, advance, lateAtMs } = start()
        let [nowMs, lastMs, total, dueMs] = [0, 0, 0, IDLE_MS]
        for (const { gapMs, bytes } of [...steps, { gapMs: 1_000_000, bytes: 0 }]) {
          advance(gapMs)
          nowMs += gapMs
          if (dueMs <= nowMs) break
          pace.came(bytes)
          ;[lastMs, total] = [nowMs, total + bytes]
          dueMs = Math.min(lastMs + IDLE_MS, 10_000 + total)
        }
        expect(lateAtMs()).toBe(dueMs)
      }),
    )
  })

  test('has the time left after a pause that it had before', () => {
    const { pace, advance, lateAtMs } = start()
    advance(4000)
    pace.came(1)
    advance(4000)
    pace.pause()
    advance(100_000)
    pace.came(2000)
    pace.resume()
    advance(3999)
    expect(lateAtMs()).toBeUndefined()
    advance(1)
    expect(lateAtMs()).toBeUndefined()
    pace.came(1)
    advance(4000)
    expect(lateAtMs()).toBe(112_002)
  })

  test('is not watched any more once that was stopped', () => {
    const { pace, advance, lateAtMs } = start()
    pace.stop()
    advance(1_000_000)
    expect(lateAtMs()).toBeUndefined()
  })
})
