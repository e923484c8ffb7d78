import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { ClientGone } from '../../src/proxy/client-gone.ts'
import { callerToken } from '../support/caller-token.ts'
import { simulateModel, type SimulatedCall } from '../support/simulated-model.ts'

const refusal = (reason: string, retryAfter: string) =>
  expect.objectContaining({
    code: 'temporarily_unavailable',
    reason,
    headers: { 'retry-after': retryAfter },
  })

describe('a call', () => {
  test('passes at once while a slot is free, and otherwise waits for one', async () => {
    const model = simulateModel({ slots: 2 })
    const calls = [1, 2, 3, 4].map(() => model.call(callerToken('a'), 1000))
    expect(calls.map(({ outcome }) => outcome)).toEqual([
      'admitted',
      'admitted',
      undefined,
      undefined,
    ])
    expect(model.admission.waiting()).toBe(2)
    await model.runUntil(1500)
    expect(calls.map(({ outcome }) => outcome)).toEqual([
      'served',
      'served',
      'admitted',
      'admitted',
    ])
    expect(calls.map(({ queuedMs }) => queuedMs)).toEqual([0, 0, 1000, 1000])
    expect(model.observedWaits).toEqual([0, 0, 1, 1])
    await model.runUntil(60_000)
    expect([model.inUse(), model.admission.waiting()]).toEqual([0, 0])
  })

  test('does not overtake those who wait already', async () => {
    const model = simulateModel({ slots: 1 })
    model.call(callerToken('a'), 1000)
    const first = model.call(callerToken('a'), 1000)
    const second = model.call(callerToken('a'), 1000)
    await model.runUntil(1500)
    expect([first.outcome, second.outcome]).toEqual(['admitted', undefined])
  })

  test('that waits for too long is refused, told for how long what is before the next one takes', async () => {
    const model = simulateModel({ slots: 1, maxWaitSeconds: 5 })
    model.call(callerToken('a'), 2000)
    await model.runUntil(2000)
    model.call(callerToken('a'), 60_000)
    const waiting = [1, 2].map(() => model.call(callerToken('b'), 1000))
    await model.runUntil(6999)
    expect(waiting.map(({ outcome }) => outcome)).toEqual([undefined, undefined])
    await model.runUntil(7000)
    // 2 s a call: of the first refused the other was still there, of the other nobody.
    expect(waiting.map(({ outcome }) => outcome)).toEqual([
      refusal('queue_timeout', '4'),
      refusal('queue_timeout', '2'),
    ])
    expect(waiting.map(({ queuedMs }) => queuedMs)).toEqual([5000, 5000])
  })

  test('is refused at once where what is before it takes longer than it may wait', async () => {
    const model = simulateModel({ slots: 1, maxWaitSeconds: 5 })
    model.call(callerToken('a'), 2000)
    await model.runUntil(2000)
    const calls = [1, 2, 3, 4].map(() => model.call(callerToken('a'), 2000))
    expect(calls[3]?.outcome).toEqual(refusal('queue_full', '6'))
    // Another tenant need not wait for all of them.
    expect(model.call(callerToken('b'), 2000).outcome).toBeUndefined()
  })

  test('is refused at once where its token would expire before its turn', async () => {
    const model = simulateModel({ slots: 1, maxWaitSeconds: 30 })
    model.call(callerToken('a'), 10_000)
    await model.runUntil(10_000)
    model.call(callerToken('a'), 10_000)
    const next = model.call(callerToken('b', { expiresAt: 19 }), 1000)
    const refused = model.call(callerToken('b', { expiresAt: 29 }), 1000)
    const waiting = model.call(callerToken('b', { expiresAt: 31 }), 1000)
    expect(refused.outcome).toEqual(refusal('token_expires_in_queue', '1'))
    // Who is next might have been lucky.
    expect(next.outcome).toBeUndefined()
    await model.runUntil(20_500)
    expect(next.outcome).toEqual(refusal('token_expires_in_queue', '1'))
    expect(waiting.outcome).toBe('admitted')
  })

  test('is not admitted once its token has expired after all', async () => {
    const model = simulateModel({ slots: 1 })
    model.call(callerToken('a'), 25_000)
    const waiting = model.call(callerToken('b', { expiresAt: 20 }), 1000)
    await model.runUntil(20_000)
    expect(waiting.outcome).toEqual(refusal('token_expires_in_queue', '1'))
  })
})

describe('who waits', () => {
  test('leaves the queue as soon as its client has gone or its token is revoked', async () => {
    const model = simulateModel({ slots: 1 })
    model.call(callerToken('a'), 1000)
    const [gone, revoked, stays] = ['b', 'b', 'c'].map((id) => model.call(callerToken(id), 1000))
    gone?.ending.end(new ClientGone())
    const reason = new Error('revoked')
    revoked?.ending.end(reason)
    expect(model.admission.waiting()).toBe(1)
    await model.runUntil(1000)
    expect(gone?.outcome).toBeInstanceOf(ClientGone)
    expect(revoked?.outcome).toBe(reason)
    expect(stays?.outcome).toBe('admitted')
  })

  test('leaves no listener behind', async () => {
    const model = simulateModel({ slots: 1 })
    model.call(callerToken('a'), 1000)
    const waiting = model.call(callerToken('a'), 1000)
    await model.runUntil(1500)
    waiting.ending.end(new Error('too late'))
    await model.runUntil(5000)
    expect(waiting.outcome).toBe('served')
  })

  test('is refused when the last model server goes away', async () => {
    const model = simulateModel({ slots: 1 })
    model.call(callerToken('a'), 1000)
    const waiting = [1, 2, 3].map(() => model.call(callerToken('a'), 1000))
    model.setUsable(false)
    await model.runUntil(1)
    expect(waiting.map(({ outcome }) => outcome)).toEqual(
      waiting.map(() => expect.objectContaining({ reason: 'no_upstream' })),
    )
    expect(model.admission.waiting()).toBe(0)
  })
})

describe('the places', () => {
  test('are bounded, and one client leaves as many free as it takes', () => {
    const model = simulateModel({ slots: 1, maxWaiting: 8 })
    model.call(callerToken('a'), 1000)
    const waitingOf = (tenant: string) => {
      const calls = Array.from({ length: 20 }, () => model.call(callerToken(tenant), 1000))
      expect(calls.at(-1)?.outcome).toEqual(expect.objectContaining({ reason: 'queue_full' }))
      return calls.filter(({ outcome }) => outcome === undefined).length
    }
    expect(['flood', 'b', 'c', 'd', 'e'].map(waitingOf)).toEqual([4, 2, 1, 1, 0])
    expect(model.admission.waiting()).toBe(8)
  })

  test('are free to a tenant however many clients of another take them', () => {
    const model = simulateModel({ slots: 1, maxWaiting: 900 })
    model.call(callerToken('a'), 1000)
    for (let n = 0; n < 1000; n++) {
      for (let again = 0; again < 2; again++) {
        model.call(callerToken('flood', { clientId: `client ${n}` }), 1000)
      }
    }
    expect(model.admission.waiting()).toBe(600)
    const others = Array.from({ length: 300 }, () => model.call(callerToken('b'), 1000))
    expect(others.filter(({ outcome }) => outcome === undefined)).toHaveLength(150)
  })

  test('are free to a client whose tenant has many waiting already', () => {
    const model = simulateModel({ slots: 1, maxWaiting: 8 })
    model.call(callerToken('a'), 1000)
    for (let n = 0; n < 20; n++) model.call(callerToken('a'), 1000)
    expect(model.call(callerToken('a', { clientId: 'other' }), 1000).outcome).toBeUndefined()
  })

  test('may be none', () => {
    const model = simulateModel({ slots: 1, maxWaiting: 0 })
    expect(model.call(callerToken('a'), 1000).outcome).toBe('admitted')
    expect(model.call(callerToken('a'), 1000).outcome).toEqual(refusal('queue_full', '1'))
  })
})

const happening = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      what: fc.constant('call' as const),
      tenant: fc.constantFrom('a', 'b', 'c'),
      clientId: fc.constantFrom('x', 'y'),
      weight: fc.double({ min: 0.001, max: 1e6, noNaN: true }),
      lifeSeconds: fc.integer({ min: 0, max: 60 }),
      serviceMs: fc.integer({ min: 0, max: 20_000 }),
    }),
  },
  { weight: 3, arbitrary: fc.record({ what: fc.constantFrom('leave', 'revoke'), at: fc.nat() }) },
  { weight: 1, arbitrary: fc.record({ what: fc.constantFrom('go', 'come') }) },
  { weight: 3, arbitrary: fc.record({ what: fc.constant('pass' as const), ms: fc.nat(9000) }) },
)

test('whatever happens, every call comes to an end, no slot is lost, and none is free while somebody waits', async () => {
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 1, max: 3 }), fc.array(happening), async (slots, events) => {
      const model = simulateModel({ slots, maxWaiting: 6 })
      const calls: SimulatedCall[] = []
      let isUsable = true
      for (const each of events) {
        if ('tenant' in each) {
          const expiresAt = model.now() / 1000 + each.lifeSeconds
          calls.push(model.call(callerToken(each.tenant, { ...each, expiresAt }), each.serviceMs))
        } else if ('at' in each) {
          const call = calls[each.at % calls.length]
          call?.ending.end(each.what === 'leave' ? new ClientGone() : new Error('revoked'))
        } else if ('ms' in each) await model.runUntil(model.now() + each.ms)
        else model.setUsable((isUsable = each.what === 'come'))
        await model.runUntil(model.now() + 1)
        expect(model.inUse()).toBeLessThanOrEqual(slots)
        const mayWait = isUsable && model.inUse() === slots
        expect(model.admission.waiting()).toBeLessThanOrEqual(mayWait ? 6 : 0)
      }
      await model.runUntil(model.now() + 200_000)
      expect([model.inUse(), model.admission.waiting()]).toEqual([0, 0])
      for (const { outcome } of calls)
        expect(outcome === 'served' || outcome instanceof Error).toBe(true)
    }),
  )
})
