import * as fc from 'fast-check'
import { afterEach, describe, expect, test } from 'vitest'
import { createLog } from '../../src/kernel/log.ts'
import { createUpstreams, type Upstream, type Upstreams } from '../../src/proxy/upstreams.ts'

const open: Upstreams[] = []
afterEach(async () => {
  await Promise.all(open.splice(0).map((upstreams) => upstreams.close()))
})

function upstreamsOf(count: number, maxInFlightPerUpstream: number): Upstreams {
  const upstreams = createUpstreams({
    urls: Array.from({ length: count }, (_, i) => `http://127.0.0.1:${i + 1}`),
    maxInFlightPerUpstream,
    connectTimeoutSeconds: 2,
    firstByteTimeoutSeconds: 300,
    idleTimeoutSeconds: 120,
    healthCheck: { path: '/health', intervalSeconds: 0 },
    log: createLog('silent'),
  })
  open.push(upstreams)
  return upstreams
}

describe('slots', () => {
  test('are always taken where the fewest are taken, and never more than there are', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 5 }),
        fc.integer({ min: 1, max: 4 }),
        fc.array(fc.nat({ max: 99 }), { maxLength: 60 }),
        (count, max, steps) => {
          const upstreams = upstreamsOf(count, max)
          const held: Upstream[] = []
          const loads = () => upstreams.all.map(({ inFlight }) => inFlight)
          for (const step of steps) {
            const before = loads()
            const taken = step < 60 ? upstreams.take() : undefined
            if (taken !== undefined) held.push(taken)
            const [released] = step < 60 ? [] : held.splice(step % (held.length + 1), 1)
            if (released !== undefined) upstreams.release(released)

            const isRightlyFull = before.every((load) => load === max)
            expect(step >= 60 || (taken === undefined) === isRightlyFull).toBe(true)
            expect(taken === undefined || taken.inFlight - 1 === Math.min(...before)).toBe(true)
            expect(loads().reduce((sum, load) => sum + load, 0)).toBe(held.length)
            expect(Math.max(...loads())).toBeLessThanOrEqual(max)
          }
        },
      ),
      { numRuns: 50 },
    )
  })

  test('go round among the equally loaded', () => {
    const upstreams = upstreamsOf(3, 4)
    const urls = Array.from({ length: 6 }, () => {
      const taken = upstreams.take()
      if (taken !== undefined) upstreams.release(taken)
      return taken?.url
    })
    expect(new Set(urls.slice(0, 3)).size).toBe(3)
    expect(urls.slice(3)).toEqual(urls.slice(0, 3))
  })

  test('are not taken where somebody has tried already', () => {
    const upstreams = upstreamsOf(2, 4)
    const first = upstreams.take()
    if (first === undefined) throw new Error('full')
    const second = upstreams.take(new Set([first]))
    expect(second).not.toBe(first)
    expect(() => upstreams.take(new Set(upstreams.all))).toThrow(
      expect.objectContaining({ code: 'temporarily_unavailable', reason: 'no_upstream' }),
    )
  })

  test('that are given back are told to those who wait', () => {
    const upstreams = upstreamsOf(1, 1)
    const taken = upstreams.take()
    let told = 0
    upstreams.onRoom(() => {
      told += 1
    })
    expect([upstreams.take(), told]).toEqual([undefined, 0])
    if (taken !== undefined) upstreams.release(taken)
    expect([told, upstreams.take()?.url]).toEqual([1, taken?.url])
  })
})
