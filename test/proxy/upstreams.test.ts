import { createServer, type AddressInfo } from 'node:net'
import * as fc from 'fast-check'
import { afterEach, describe, expect, test } from 'vitest'
import { createLog } from '../../src/kernel/log.ts'
import { TRIAL_AFTER_MS } from '../../src/proxy/upstream-health.ts'
import type { Slot } from '../../src/proxy/upstream.ts'
import { createUpstreams, type Upstreams } from '../../src/proxy/upstreams.ts'

const log = createLog('silent')
const open: Upstreams[] = []
afterEach(() => {
  for (const upstreams of open.splice(0)) upstreams.close()
})

function upstreamsOf(count: number, maxInFlightPerUpstream: number, now?: () => number): Upstreams {
  const upstreams = createUpstreams({
    servers: Array.from({ length: count }, (_, i) => ({ url: `http://127.0.0.1:${i + 1}` })),
    maxInFlightPerUpstream,
    connectTimeoutSeconds: 2,
    healthCheck: { path: '/health', intervalSeconds: 0 },
    log,
    ...(now === undefined ? {} : { now }),
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
          const held: Slot[] = []
          const loads = () => upstreams.all.map(({ inFlight }) => inFlight)
          for (const step of steps) {
            const before = loads()
            const taken = step < 60 ? upstreams.take() : undefined
            if (taken !== undefined) held.push(taken)
            const [released] = step < 60 ? [] : held.splice(step % (held.length + 1), 1)
            if (released !== undefined) upstreams.release(released)

            const isRightlyFull = before.every((load) => load === max)
            expect(step >= 60 || (taken === undefined) === isRightlyFull).toBe(true)
            expect(taken === undefined || taken.upstream.inFlight - 1 === Math.min(...before)).toBe(
              true,
            )
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
      return taken?.upstream.url
    })
    expect(new Set(urls.slice(0, 3)).size).toBe(3)
    expect(urls.slice(3)).toEqual(urls.slice(0, 3))
  })

  test.each([true, false])('move to where nobody has tried yet (public: %s)', (isPublic) => {
    const upstreams = upstreamsOf(2, 1)
    const slot = isPublic ? upstreams.takeForPublic() : upstreams.take()
    if (slot === undefined) throw new Error('full')
    const { upstream } = slot
    const loads = () => upstreams.all.map((one) => one.inFlight + one.publicInFlight)
    expect(upstreams.move(slot, new Set([upstream]))).toBe(true)
    expect(slot.upstream).not.toBe(upstream)
    expect(loads().toSorted((a, b) => a - b)).toEqual([0, 1])
    expect(upstreams.move(slot, new Set(upstreams.all))).toBe(false)
  })

  test('for the public are refused only once each model server has as many as it may', () => {
    const upstreams = upstreamsOf(2, 64)
    upstreams.take()
    for (let i = 0; i < 16; i += 1) upstreams.takeForPublic()
    expect(upstreams.all.map(({ publicInFlight }) => publicInFlight)).toEqual([8, 8])
    expect(() => upstreams.takeForPublic()).toThrow(
      expect.objectContaining({ reason: 'public_full' }),
    )
  })

  test('do not move to where none is free', () => {
    const upstreams = upstreamsOf(2, 1)
    const [slot, other] = [upstreams.take(), upstreams.take()]
    if (slot === undefined || other === undefined) throw new Error('full')
    const { upstream } = slot
    expect(upstreams.move(slot, new Set([upstream]))).toBe(false)
    expect([slot.upstream, upstream.inFlight, other.upstream.inFlight]).toEqual([upstream, 1, 1])
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
    expect([told, upstreams.take()?.upstream]).toEqual([1, taken?.upstream])
  })
})

describe('a model server that is ejected', () => {
  const REST = { deadlineMs: 1, isWorkUndone: true }
  const RESET = { kind: 'broken_off', code: 'ECONNRESET', ...REST } as const
  const STALLED = { kind: 'stalled', code: 'UPSTREAM_FIRST_BYTE_TIMEOUT', ...REST } as const

  /** The first of two is ejected; both have requests from before that. */
  function ejectFirst(heldAtEach: number) {
    const time = { now: 0 }
    const upstreams = upstreamsOf(2, 64, () => time.now)
    const held = Array.from({ length: 2 * heldAtEach }, () => upstreams.take())
    const [ill] = upstreams.all
    if (ill === undefined) throw new Error('none')
    upstreams.failed(ill, STALLED)
    time.now = TRIAL_AFTER_MS
    return { upstreams, ill, time, held: held.filter((slot) => slot !== undefined) }
  }

  test('is so for clients that left without an answer, once they have waited long enough together', () => {
    const time = { now: 0 }
    const upstreams = upstreamsOf(2, 1, () => time.now)
    const [ill] = upstreams.all
    const keepOtherBusy = upstreams.all.map(() => upstreams.take())
    const slot = keepOtherBusy.find((taken) => taken?.upstream === ill)
    if (ill === undefined || slot === undefined) throw new Error('none')
    upstreams.release(slot)
    const waitInVain = (ms: number) => {
      const taken = upstreams.take()
      time.now += ms
      upstreams.abandoned(ill, 10_000)
      if (taken !== undefined) upstreams.release(taken)
      return ill.health.state
    }
    expect(waitInVain(4000)).toBe('usable')
    // Nobody waits.
    time.now += 3_600_000
    expect(waitInVain(5000)).toBe('usable')
    upstreams.answered(ill, true)
    expect(waitInVain(9999)).toBe('usable')
    expect(waitInVain(1)).toBe('ejected')
    expect(ill.health).toMatchObject({ reason: 'no_progress' })
  })

  test('and resets what tries it gets one request a second', () => {
    const { upstreams, ill, time } = ejectFirst(0)
    const tried: number[] = []
    for (time.now = 0; time.now < 5500; time.now += 100) {
      const slot = upstreams.take()
      if (slot === undefined) throw new Error('full')
      if (slot.upstream === ill) {
        tried.push(time.now)
        upstreams.failed(ill, RESET)
      }
      upstreams.release(slot)
    }
    expect(tried).toEqual([1000, 2000, 3000, 4000, 5000])
  })

  test('for what it breaks off is not so for what Node finds wrong with the request, nor for answers cut short', () => {
    const upstreams = upstreamsOf(2, 64)
    const [first] = upstreams.all
    if (first === undefined) throw new Error('none')
    const fail = (failure: { code?: string; isWorkUndone?: boolean }) => {
      for (let i = 0; i < 5; i += 1) upstreams.failed(first, { ...RESET, ...failure })
      return first.health.state
    }
    expect(fail({ code: 'ERR_INVALID_CHAR' })).toBe('usable')
    expect(fail({ isWorkUndone: false })).toBe('usable')
    expect(fail({})).toBe('ejected')
  })

  test('is tried by one at a time, whatever becomes of those from before', () => {
    fc.assert(
      fc.property(fc.array(fc.nat({ max: 3 }), { maxLength: 40 }), (steps) => {
        const { upstreams, ill, time, held } = ejectFirst(5)
        const trials = new Set<Slot>()
        for (const step of steps) {
          time.now += 700
          if (step === 0) upstreams.failed(ill, STALLED)
          if (step === 1) {
            const [old] = held.splice(0, 1)
            if (old !== undefined) upstreams.release(old)
          }
          if (step === 2) {
            for (const trial of trials) upstreams.release(trial)
            trials.clear()
          }
          const taken = upstreams.take()
          if (taken?.upstream === ill) trials.add(taken)
          expect(trials.size).toBeLessThanOrEqual(1)
        }
      }),
    )
  })

  test('and ejected again is not tried twice because an old trial ends', () => {
    const { upstreams, ill, time } = ejectFirst(0)
    const old = upstreams.take()
    upstreams.answered(ill, true)
    time.now += 5000
    upstreams.failed(ill, STALLED)
    time.now += TRIAL_AFTER_MS
    expect(upstreams.take()?.upstream).toBe(ill)
    if (old !== undefined) upstreams.release(old)
    time.now += 60_000
    expect(upstreams.take()?.upstream).not.toBe(ill)
  })
})

test('over TLS, too, model servers are asked for HTTP/1.1 alone: each request and check has its connection', async () => {
  const hellos: string[] = []
  const server = createServer((socket) => {
    socket.on('error', () => undefined)
    socket.once('data', (hello) => {
      hellos.push(hello.toString('latin1'))
      socket.destroy()
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const upstreams = createUpstreams({
    servers: [{ url: `https://127.0.0.1:${(server.address() as AddressInfo).port}` }],
    maxInFlightPerUpstream: 1,
    connectTimeoutSeconds: 2,
    healthCheck: { path: '/health', intervalSeconds: 60 },
    log,
  })
  open.push(upstreams)
  await expect.poll(() => hellos.length).toBe(1)
  const failure = await new Promise<Error>((resolve) => {
    const question = { method: 'GET', target: '/', headers: '', isSized: false, body: null }
    upstreams.all[0]?.pool.dispatch(
      { ...question, firstByteMs: 2000, idleMs: 2000 },
      {
        onTaken: () => undefined,
        onHead: () => undefined,
        onChunk: () => undefined,
        onEnd: () => undefined,
        onError: resolve,
      },
    )
  })
  expect(failure).toMatchObject({ code: 'UPSTREAM_CLOSED' })
  expect(hellos.map((hello) => [hello.includes('http/1.1'), hello.includes('\x02h2')])).toEqual([
    [true, false],
    [true, false],
  ])
  server.close()
})
