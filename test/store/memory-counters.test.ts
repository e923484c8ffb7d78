import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { DAY_MS } from '../../src/store/counters.ts'
import { createMemoryCounters } from '../../src/store/memory-counters.ts'
import { describeCounters, freshAccounts } from '../contract/counters-contract.ts'

const NOTHING = {
  minuteRequests: 0,
  minuteFreesInMs: 0,
  running: 0,
  dayRequests: 0,
  dayTokens: 0,
  daySettled: 0,
  meanBefore: 0,
  reservedTokens: 0,
}

describe('counters in memory', () => {
  const time = { now: 0 }
  const counters = createMemoryCounters(() => time.now)
  describeCounters(() => ({ counters, peer: counters, time }))

  test('keep the days of another process, and only of accounts that used something', () => {
    const of = freshAccounts({ daily_requests: 2, daily_tokens: 100 }, { rpm: 9 })
    const before = createMemoryCounters(() => time.now)
    before.enter(of, 'one')
    before.leave(of, 'one', { tokens: 40, wasServed: true, enteredAtMs: time.now })
    expect(before.days()).toHaveLength(1)
    const after = createMemoryCounters(() => time.now)
    after.restoreDays(before.days())
    expect(after.enter(of, 'two').isLetIn).toBe(true)
    expect(after.enter(of, 'three').isLetIn).toBe(false)
    expect(after.read(of).balances).toMatchObject([
      { dayRequests: 2, dayTokens: 40, reservedTokens: 40 },
      {},
    ])
  })

  test('take over what others have counted of a day, and never less than their own', () => {
    const of = freshAccounts({ rpm: 3, concurrency: 2, daily_requests: 9, daily_tokens: 100 })
    const before = { ...NOTHING, meanBefore: 7 }
    const own = createMemoryCounters(() => time.now)
    const there = { ...before, dayRequests: 8, dayTokens: 50, daySettled: 5, running: 3 }
    const known = { atMs: time.now, balances: [there] }
    own.adopt(of, 'one', { ...known, balances: [before] })
    expect(own.read(of).balances).toMatchObject([{ dayTokens: 0, reservedTokens: 7 }])
    own.leave(of, 'one', { tokens: undefined, wasServed: false, enteredAtMs: time.now })
    own.adopt(of, 'one', known)
    expect(own.read(of).balances).toMatchObject([
      { minuteRequests: 2, running: 1, dayRequests: 8, dayTokens: 50, reservedTokens: 10 },
    ])
    own.adopt(of, 'two', { ...known, balances: [NOTHING] })
    expect(own.enter(of, 'three').isLetIn).toBe(false)
    own.leave(of, 'one', { tokens: 1, wasServed: true, enteredAtMs: time.now })
    expect(own.read(of).balances).toMatchObject([
      { minuteRequests: 3, running: 1, dayRequests: 9, dayTokens: 51 },
    ])
  })

  test('give nobody a second budget when the clock jumps ahead by days and comes back', () => {
    // A clock that goes on by one day is believed.
    const days = fc.constantFrom(-3, -2, -1, 0, 2, 3)
    const jump = fc.record({ days, isUsed: fc.boolean() })
    fc.assert(
      fc.property(fc.array(jump, { maxLength: 5 }), (jumps) => {
        const day = { now: 20_000 * DAY_MS }
        const jumping = createMemoryCounters(() => day.now)
        const of = freshAccounts({ daily_requests: 1, concurrency: 9 })
        expect(jumping.enter(of, 'one').isLetIn).toBe(true)
        let ahead = 0
        for (const each of [{ days: 2, isUsed: true }, ...jumps]) {
          ahead = Math.max(2, ahead + each.days)
          day.now = (20_000 + ahead) * DAY_MS
          // Also what is forgotten meanwhile comes back.
          jumping.enter(each.isUsed ? of : freshAccounts({ rpm: 1 }), 'two')
        }
        day.now = 20_000 * DAY_MS + 1
        expect(jumping.enter(of, 'three').isLetIn).toBe(false)
        expect(jumping.read(of).balances).toMatchObject([{ dayRequests: 1 }])
      }),
    )
  })

  test('forget who has used nothing for a while', () => {
    const idle = createMemoryCounters(() => time.now)
    idle.enter(freshAccounts({ daily_requests: 1 }), 'one')
    expect(idle.days()).toHaveLength(1)
    time.now += 86_400_000
    idle.enter(freshAccounts({ rpm: 1 }), 'two')
    expect(idle.days()).toHaveLength(0)
  })
})
