import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { createDeadline } from '../../src/kernel/deadline.ts'

describe('a deadline', () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] })
  })
  afterEach(() => void vi.useRealTimers())

  /** When it was missed, in milliseconds from now. */
  function watched() {
    const startMs = performance.now()
    const missedAtMs: number[] = []
    const deadline = createDeadline(() => missedAtMs.push(performance.now() - startMs))
    return { deadline, missedAtMs }
  }

  test('is missed once, and not before', () => {
    const { deadline, missedAtMs } = watched()
    deadline.set(100)
    vi.advanceTimersByTime(99)
    expect(missedAtMs).toEqual([])
    vi.advanceTimersByTime(100_000)
    expect(missedAtMs).toEqual([100])
  })

  test('that is moved later each time is missed after the last of them', () => {
    const { deadline, missedAtMs } = watched()
    for (let i = 0; i < 10; i += 1) {
      deadline.set(100)
      vi.advanceTimersByTime(60)
    }
    expect(missedAtMs).toEqual([])
    vi.advanceTimersByTime(100_000)
    expect(missedAtMs).toEqual([640])
  })

  test('that is moved earlier is missed then, and not again at the time before', () => {
    const { deadline, missedAtMs } = watched()
    deadline.set(1000)
    deadline.set(10)
    vi.advanceTimersByTime(100_000)
    expect(missedAtMs).toEqual([10])
  })

  test('that is moved later, then earlier again, is missed at the earlier time', () => {
    const { deadline, missedAtMs } = watched()
    deadline.set(50)
    deadline.set(1000)
    vi.advanceTimersByTime(60)
    deadline.set(40)
    vi.advanceTimersByTime(100_000)
    expect(missedAtMs).toEqual([100])
  })

  test('that is cleared is not missed, and keeps no timer', () => {
    const { deadline, missedAtMs } = watched()
    deadline.set(100)
    deadline.clear()
    expect(vi.getTimerCount()).toBe(0)
    vi.advanceTimersByTime(100_000)
    expect(missedAtMs).toEqual([])
  })

  test('can be set again after it was cleared, or missed', () => {
    const { deadline, missedAtMs } = watched()
    deadline.set(100)
    deadline.clear()
    deadline.set(200)
    vi.advanceTimersByTime(200)
    deadline.set(50)
    vi.advanceTimersByTime(100_000)
    expect(missedAtMs).toEqual([200, 250])
  })

  test('can be set and cleared by who is told that it was missed', () => {
    const missedAtMs: number[] = []
    const startMs = performance.now()
    const deadline = createDeadline(() => {
      missedAtMs.push(performance.now() - startMs)
      deadline.clear()
      if (missedAtMs.length < 3) deadline.set(10)
    })
    deadline.set(10)
    vi.advanceTimersByTime(100_000)
    expect(missedAtMs).toEqual([10, 20, 30])
  })

  test('has one timer, however often it is moved', () => {
    const { deadline } = watched()
    for (const ms of [500, 100, 900, 50, 800]) {
      deadline.set(ms)
      expect(vi.getTimerCount()).toBe(1)
    }
    vi.advanceTimersByTime(60)
    expect(vi.getTimerCount()).toBe(1)
    vi.advanceTimersByTime(1000)
    expect(vi.getTimerCount()).toBe(0)
  })
})
