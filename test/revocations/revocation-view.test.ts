import * as fc from 'fast-check'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { isSpent, revokeIssuedUpTo, type Revocation } from '../../src/revocations/revocation.ts'
import { createRevocationView, type RevocableToken } from '../../src/revocations/revocation-view.ts'

const START = 1_700_000_000
const VALUE_OF = {
  jti: 'jti',
  client: 'clientId',
  sub: 'subject',
  tenant: 'tenantId',
  kid: 'kid',
} as const satisfies Record<Revocation['kind'], keyof RevocableToken>

const tokenOf = (overrides: Partial<RevocableToken> = {}): RevocableToken => ({
  jti: 'j',
  clientId: 'c',
  subject: 's',
  tenantId: 't',
  kid: 'k',
  issuedAt: START,
  ...overrides,
})

/** The definition: the log read from the start for every question. */
const isRevokedNaively = (log: readonly Revocation[], token: RevocableToken, now: number) =>
  log.some(
    (entry) =>
      !isSpent(entry, now) &&
      token[VALUE_OF[entry.kind]] === entry.value &&
      token.issuedAt <= (entry.issued_before ?? Infinity),
  )

const name = fc.constantFrom('a', 'b', 'c')
const token = fc.record({
  jti: name,
  clientId: name,
  subject: name,
  tenantId: name,
  kid: name,
  issuedAt: fc.integer({ min: START - 2000, max: START + 6000 }),
})
const bulkKind = fc.constantFrom('client', 'sub', 'tenant', 'kid')

type Step = { advance: number; forget: boolean; token: RevocableToken } & (
  | { bulk: 'client' | 'sub' | 'tenant' | 'kid'; value: string }
  | { bulk: undefined; value: string; lifetime: number }
)
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({
    advance: fc.nat(700),
    forget: fc.boolean(),
    token,
    bulk: bulkKind,
    value: name,
  }),
  fc.record({
    advance: fc.nat(700),
    forget: fc.boolean(),
    token,
    bulk: fc.constant(undefined),
    value: name,
    lifetime: fc.integer({ min: -100, max: 1800 }),
  }),
)

describe('the revocation view', () => {
  test('always answers as reading the whole log would, whatever was forgotten', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const view = createRevocationView()
        const log: Revocation[] = []
        let now = START
        for (const each of steps) {
          now += each.advance
          const entry: Revocation =
            each.bulk === undefined
              ? { kind: 'jti', value: each.value, exp: now + each.lifetime }
              : revokeIssuedUpTo(now, each.bulk, each.value)
          view.add(entry, now)
          log.push(entry)
          if (each.forget) view.forgetSpent(now)
          for (const issuedAt of [each.token.issuedAt, now - 1, now, now + 1]) {
            const asked = { ...each.token, issuedAt }
            expect(view.isRevoked(asked, now)).toBe(isRevokedNaively(log, asked, now))
          }
        }
      }),
      { numRuns: 300 },
    )
  })

  test('never lets a token pass that the log revokes, however odd the entries are', () => {
    const entry = fc.record({
      kind: fc.constantFrom('jti', 'client', 'sub', 'tenant', 'kid'),
      value: name,
      issued_before: fc.integer({ min: START - 2000, max: START + 6000 }),
      exp: fc.integer({ min: START - 2000, max: START + 6000 }),
    })
    fc.assert(
      fc.property(fc.array(entry), token, fc.nat(6000), (log, asked, later) => {
        const view = createRevocationView()
        for (const each of log) view.add(each, START)
        const now = START + later
        view.forgetSpent(now)
        expect(isRevokedNaively(log, asked, now) && !view.isRevoked(asked, now)).toBe(false)
      }),
    )
  })

  test('revokes what was issued up to the second of the entry, and nothing later', () => {
    const view = createRevocationView()
    view.add(revokeIssuedUpTo(START, 'client', 'c'), START)
    expect(view.isRevoked(tokenOf({ issuedAt: START }), START)).toBe(true)
    expect(view.isRevoked(tokenOf({ issuedAt: START + 0.9 }), START)).toBe(true)
    expect(view.isRevoked(tokenOf({ issuedAt: START + 1 }), START)).toBe(false)
  })

  test('takes a value for what its kind says and for nothing else', () => {
    for (const kind of ['jti', 'client', 'sub', 'tenant', 'kid'] as const) {
      const view = createRevocationView()
      view.add({ kind, value: 'x', exp: START + 900 }, START)
      for (const [other, member] of Object.entries(VALUE_OF)) {
        expect(view.isRevoked(tokenOf({ [member]: 'x' }), START)).toBe(other === kind)
      }
    }
  })

  test('keeps an entry for 60 s beyond its exp, and its memory for two minutes more at most', () => {
    const view = createRevocationView()
    for (let i = 0; i < 1000; i += 1) {
      view.add({ kind: 'jti', value: `j${i}`, exp: START + 900 }, START)
    }
    const asked = tokenOf({ jti: 'j7' })
    expect(view.isRevoked(asked, START + 960)).toBe(true)
    expect(view.isRevoked(asked, START + 961)).toBe(false)
    view.forgetSpent(START + 960)
    expect(view.size()).toBe(1000)
    view.forgetSpent(START + 1080)
    expect(view.size()).toBe(0)
  })

  test('does not even take in what is spent', () => {
    const view = createRevocationView()
    view.add({ kind: 'jti', value: 'j', exp: START - 61 }, START)
    expect(view.size()).toBe(0)
  })

  test('keeps an entry that a later one prolongs', () => {
    const view = createRevocationView()
    view.add(revokeIssuedUpTo(START, 'client', 'c'), START)
    view.add(revokeIssuedUpTo(START + 1000, 'client', 'c'), START + 1000)
    view.forgetSpent(START + 2500)
    expect(view.isRevoked(tokenOf(), START + 2500)).toBe(true)
    view.forgetSpent(START + 3000)
    expect(view.size()).toBe(0)
  })
})

describe('a check', () => {
  afterEach(() => void vi.restoreAllMocks())

  test('takes five looks, whether the log has ten entries or a hundred thousand', () => {
    for (const count of [10, 100_000]) {
      const view = createRevocationView()
      for (let i = 0; i < count; i += 1) {
        view.add({ kind: 'jti', value: `other-${i}`, exp: START + (i % 1800) }, START)
      }
      expect(view.size()).toBe(count)
      const looks = vi.spyOn(Map.prototype, 'get')
      const walks = vi.spyOn(Map.prototype, Symbol.iterator)
      expect(view.isRevoked(tokenOf(), START)).toBe(false)
      expect([looks.mock.calls.length, walks.mock.calls.length]).toEqual([5, 0])
      vi.restoreAllMocks()
    }
  })
})
