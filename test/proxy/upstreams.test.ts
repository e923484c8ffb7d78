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
    servers: Array.from({ length: count }, (_, i) => ({ url: `http://127.0.0.1:${i + 1}` })),
    maxInFlightPerUpstream,
    connectTimeoutSeconds: 2,
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

  test.each([true, false])('move to where nobody has tried yet (public: %s)', (isPublic) => {
    const upstreams = upstreamsOf(2, 1)
    const upstream = isPublic ? upstreams.takeForPublic() : upstreams.take()
    if (upstream === undefined) throw new Error('full')
    const slot = { upstream, isPublic }
    const loads = () => upstreams.all.map((one) => one.inFlight + one.publicInFlight)
    expect(upstreams.move(slot, new Set([upstream]))).toBe(true)
    expect(slot.upstream).not.toBe(upstream)
    expect(loads().toSorted((a, b) => a - b)).toEqual([0, 1])
    expect(upstreams.move(slot, new Set(upstreams.all))).toBe(false)
  })

  test('do not move to where none is free', () => {
    const upstreams = upstreamsOf(2, 1)
    const [upstream, other] = [upstreams.take(), upstreams.take()]
    if (upstream === undefined || other === undefined) throw new Error('full')
    const slot = { upstream, isPublic: false }
    expect(upstreams.move(slot, new Set([upstream]))).toBe(false)
    expect([slot.upstream, upstream.inFlight, other.inFlight]).toEqual([upstream, 1, 1])
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
