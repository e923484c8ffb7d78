import { beforeEach, describe, expect, test } from 'vitest'
import { AppError } from '../../src/kernel/errors.ts'
import { createGuessLimits, type GuessLimits } from '../../src/registry/guess-limits.ts'

const time = { now: 0 }
let limits: GuessLimits
beforeEach(() => {
  time.now = 1_700_000_000_000
  limits = createGuessLimits(() => time.now, 3)
})

/** How many attempts are let through, of so many. */
function passedOf(attempts: number, who: (index: number) => [string, string]): number {
  let passed = 0
  for (let index = 0; index < attempts; index += 1) {
    try {
      limits.begin(...who(index))('wrong')
      passed += 1
    } catch (error) {
      if (!(error instanceof AppError)) throw error
    }
  }
  return passed
}

describe('wrong guesses', () => {
  test('are let through so often a minute, then told how long to wait', () => {
    expect(passedOf(10, () => ['robot', '192.0.2.1'])).toBe(3)
    time.now += 15_000
    expect(() => limits.begin('robot', '192.0.2.1')).toThrow(
      expect.objectContaining({ code: 'rate_limited', headers: { 'retry-after': '45' } }),
    )
    time.now += 45_000
    expect(passedOf(10, () => ['robot', '192.0.2.1'])).toBe(3)
  })

  test('are told beforehand whether they would be let through, which counts as none', () => {
    for (let asked = 0; asked < 10; asked += 1) limits.requireRoom('robot', '192.0.2.1')
    expect(passedOf(10, () => ['robot', '192.0.2.1'])).toBe(3)
    expect(() => limits.requireRoom('robot', '192.0.2.1')).toThrow(
      expect.objectContaining({ code: 'rate_limited', headers: { 'retry-after': '60' } }),
    )
    limits.requireRoom('other', '192.0.2.1')
    time.now += 60_000
    limits.requireRoom('robot', '192.0.2.1')
  })

  test('about one client shut out neither another client nor another address', () => {
    passedOf(10, () => ['robot', '192.0.2.1'])
    expect(passedOf(1, () => ['other', '192.0.2.1'])).toBe(1)
    expect(passedOf(1, () => ['robot', '192.0.2.2'])).toBe(1)
  })

  test('about ever more clients from one address come in small portions', () => {
    const anyone = (index: number): [string, string] => [`robot-${time.now}-${index}`, '192.0.2.1']
    expect(passedOf(100, anyone)).toBe(15)
    expect(() => limits.begin('robot', '192.0.2.1')).toThrow(
      expect.objectContaining({ code: 'rate_limited', headers: { 'retry-after': '2' } }),
    )
    let passed = 0
    for (let second = 0; second < 60; second += 1) {
      time.now += 1000
      passed += passedOf(100, anyone)
    }
    expect(passed).toBe(30)
  })

  test('at once are no more than in turn', () => {
    const ends = [1, 2, 3].map(() => limits.begin('robot', '192.0.2.1'))
    expect(() => limits.begin('robot', '192.0.2.1')).toThrow(AppError)
    for (const end of ends) end('unknown')
    expect(passedOf(10, () => ['robot', '192.0.2.1'])).toBe(3)
  })

  test('that turn out right do not count', () => {
    for (let index = 0; index < 100; index += 1) limits.begin('robot', '192.0.2.1')('right')
    expect(passedOf(10, () => ['robot', '192.0.2.1'])).toBe(3)
  })

  test('of which 32 are under way from one address keep the next one out for a moment', () => {
    const ends = Array.from({ length: 32 }, (_, index) => limits.begin(`r${index}`, '192.0.2.1'))
    expect(() => limits.begin('robot', '192.0.2.1')).toThrow(
      expect.objectContaining({ code: 'rate_limited', headers: { 'retry-after': '1' } }),
    )
    ends[0]?.('right')
    expect(limits.begin('robot', '192.0.2.1')).toBeTypeOf('function')
  })

  test.each([
    ['addresses of one IPv6 /64', '2001:db8:1:2::1', '2001:0db8:1:2:3:4:5:6', 0],
    ['neighbouring IPv6 /64s', '2001:db8:1:2::1', '2001:db8:1:3::1', 3],
    ['::1 and another', '::1', '::1', 0],
    ['an IPv4 address and its IPv6 form', '192.0.2.1', '::ffff:192.0.2.1', 0],
    ['two mapped IPv4 addresses', '::ffff:192.0.2.1', '::ffff:192.0.2.2', 3],
  ])('from %s: %s, %s', (_what, first, second, left) => {
    passedOf(10, () => ['robot', first])
    expect(passedOf(10, () => ['robot', second])).toBe(left)
  })
})
