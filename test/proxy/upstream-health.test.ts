import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  isDueForTrial,
  nextHealth,
  TRIAL_AFTER_MS,
  USABLE,
  type Circumstances,
  type Health,
  type Observation,
} from '../../src/proxy/upstream-health.ts'

const at = (nowMs: number, more: Partial<Circumstances> = {}): Circumstances => ({
  nowMs,
  isOtherUsable: true,
  hasChecks: true,
  ...more,
})
const UNREACHABLE = { kind: 'unreachable', detail: 'ECONNREFUSED' } as const
const ANSWERED = { kind: 'answered', isWork: true } as const
const BROKEN_OFF = { kind: 'broken_off', detail: 'ECONNRESET' } as const
const QUESTION_ANSWERED = { kind: 'answered', isWork: false } as const
const CHECK_FAILED = { kind: 'check_failed', detail: 'status 503' } as const
const stalled = (lastSignMs: number) =>
  ({
    kind: 'stalled',
    detail: 'UPSTREAM_FIRST_BYTE_TIMEOUT',
    deadlineMs: 1000,
    lastSignMs,
  }) as const

const isEjected = ({ state }: Health) => state === 'ejected'

describe('a model server is ejected', () => {
  test('by one connect error, and comes back with the first check that passes', () => {
    const health = nextHealth(USABLE, UNREACHABLE, at(0))
    expect(health).toMatchObject({ state: 'ejected', reason: 'unreachable' })
    expect(nextHealth(health, ANSWERED, at(1))).toBe(health)
    expect(nextHealth(health, { kind: 'check_passed' }, at(1))).toBe(USABLE)
  })

  test('by a request that got nothing while nobody else did', () => {
    expect(isEjected(nextHealth(USABLE, stalled(9000), at(10_000)))).toBe(true)
    expect(isEjected(nextHealth(USABLE, stalled(9001), at(10_000)))).toBe(false)
  })

  test('for making no progress until it has worked: its checks go on passing', () => {
    const health = nextHealth(USABLE, stalled(-Infinity), at(10_000))
    expect(nextHealth(health, { kind: 'check_passed' }, at(10_001))).toBe(health)
    expect(nextHealth(health, QUESTION_ANSWERED, at(10_001))).toBe(health)
    expect(nextHealth(health, ANSWERED, at(10_001))).toBe(USABLE)
  })

  const after = (seen: readonly Observation[], more: Partial<Circumstances> = {}) =>
    seen.reduce((health, each) => nextHealth(health, each, at(0, more)), USABLE)

  test('by the third request in a row that is broken off, whatever checks and questions find', () => {
    const thrice = [BROKEN_OFF, { kind: 'check_passed' }, BROKEN_OFF, QUESTION_ANSWERED] as const
    expect(after(thrice)).toMatchObject({ state: 'usable' })
    const health = after([...thrice, BROKEN_OFF])
    expect(health).toMatchObject({ reason: 'broken_off', detail: 'ECONNRESET' })
    expect(nextHealth(health, BROKEN_OFF, at(1))).toBe(health)
    expect(nextHealth(health, { kind: 'check_passed' }, at(1))).toBe(health)
    expect(nextHealth(health, QUESTION_ANSWERED, at(1))).toBe(health)
    expect(nextHealth(health, ANSWERED, at(1))).toBe(USABLE)
  })

  test('by broken requests neither with an answer between them nor as the last', () => {
    expect(isEjected(after([BROKEN_OFF, BROKEN_OFF, ANSWERED, BROKEN_OFF, BROKEN_OFF]))).toBe(false)
    const many = Array.from({ length: 9 }, () => BROKEN_OFF)
    expect(isEjected(after(many, { isOtherUsable: false }))).toBe(false)
  })

  test('by a failed check until one passes, whatever its requests meet', () => {
    let health = nextHealth(USABLE, CHECK_FAILED, at(0, { isOtherUsable: false }))
    expect(health).toMatchObject({ reason: 'check_failed', detail: 'status 503' })
    for (const seen of [UNREACHABLE, stalled(-Infinity), BROKEN_OFF, ANSWERED] as const) {
      health = nextHealth(health, seen, at(5000))
      expect(health).toMatchObject({ reason: 'check_failed' })
    }
    expect(nextHealth(health, { kind: 'check_passed' }, at(5000))).toBe(USABLE)
  })
})

describe('a trial', () => {
  const noChecks = (nowMs: number) => at(nowMs, { hasChecks: false })

  test('is made a second after the ejection, and its answer ends it', () => {
    const health = nextHealth(USABLE, UNREACHABLE, noChecks(0))
    expect(isDueForTrial(health, noChecks(TRIAL_AFTER_MS - 1))).toBe(false)
    expect(isDueForTrial(health, noChecks(TRIAL_AFTER_MS))).toBe(true)
    expect(nextHealth(health, ANSWERED, noChecks(TRIAL_AFTER_MS + 1))).toBe(USABLE)
  })

  test('is followed by another after a second, unless it was answered', () => {
    const health = nextHealth(USABLE, UNREACHABLE, noChecks(0))
    for (const seen of [UNREACHABLE, { kind: 'trial_ended' }] as const) {
      const failed = nextHealth(health, seen, noChecks(1500))
      expect([2499, 2500].map((ms) => isDueForTrial(failed, noChecks(ms)))).toEqual([false, true])
    }
    expect(nextHealth(USABLE, { kind: 'trial_ended' }, noChecks(1500))).toBe(USABLE)
  })

  test('is not made where a check can tell', () => {
    const health = nextHealth(USABLE, UNREACHABLE, at(0))
    expect(isDueForTrial(health, at(60_000))).toBe(false)
  })
})

describe('always', () => {
  const observations: fc.Arbitrary<Observation> = fc.oneof(
    fc.constantFrom<Observation>(
      ANSWERED,
      QUESTION_ANSWERED,
      BROKEN_OFF,
      { kind: 'check_passed' },
      { kind: 'trial_ended' },
      CHECK_FAILED,
      UNREACHABLE,
    ),
    fc.record({
      kind: fc.constant('stalled' as const),
      detail: fc.constant('UPSTREAM_IDLE_TIMEOUT'),
      deadlineMs: fc.integer({ min: 1, max: 5000 }),
      lastSignMs: fc.integer({ min: -10_000, max: 60_000 }),
    }),
  )
  const steps = fc.array(
    fc.record({
      server: fc.nat({ max: 2 }),
      seen: observations,
      afterMs: fc.nat({ max: 3000 }),
    }),
    { maxLength: 80 },
  )

  test('something stays usable while no check fails', () => {
    fc.assert(
      fc.property(steps, fc.boolean(), (all, hasChecks) => {
        const servers: Health[] = [USABLE, USABLE, USABLE]
        let nowMs = 0
        for (const { server, seen, afterMs } of all) {
          nowMs += afterMs
          if (seen.kind === 'check_failed') continue
          const isOtherUsable = servers.some((other, i) => i !== server && !isEjected(other))
          servers[server] = nextHealth(
            servers[server] ?? USABLE,
            seen,
            at(nowMs, { isOtherUsable, hasChecks }),
          )
          expect(servers.every(isEjected)).toBe(false)
        }
      }),
    )
  })

  test('one that is well again is used within a second: by its checks, or by a request', () => {
    fc.assert(
      fc.property(steps, fc.boolean(), (all, hasChecks) => {
        let health: Health = USABLE
        let nowMs = 0
        for (const { seen, afterMs } of all) {
          nowMs += afterMs
          const isCheck = seen.kind === 'check_failed' || seen.kind === 'check_passed'
          if (isCheck && !hasChecks) continue
          health = nextHealth(health, seen, at(nowMs, { hasChecks }))
        }
        const later = at(nowMs + TRIAL_AFTER_MS, { hasChecks })
        if (hasChecks) health = nextHealth(health, { kind: 'check_passed' }, later)
        expect(!isEjected(health) || isDueForTrial(health, later)).toBe(true)
        health = nextHealth(health, ANSWERED, later)
        expect(health).toBe(USABLE)
      }),
    )
  })
})
