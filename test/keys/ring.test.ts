import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  activeKey,
  createRing,
  dropRetired,
  promotableAt,
  promoteNext,
  publicJwks,
  type Ring,
} from '../../src/keys/ring.ts'
import { makeFakeKey } from '../support/ring-keys.ts'

const START = 1_700_000_000

type PublicJwk = { kid: string; alg: string; use: string; kty: string; n: string; e: string }
const publishedBy = (ring: Ring) => publicJwks(ring).keys as PublicJwk[]
const kidsOf = (ring: Ring) => publishedBy(ring).map(({ kid }) => kid)
const statesOf = (ring: Ring) => ring.keys.map(({ kid, state }) => `${kid} ${state}`)

describe('a new ring', () => {
  const ring = createRing(makeFakeKey('a'), makeFakeKey('b'), START)

  test('signs with its first key at once and publishes the next', () => {
    expect(activeKey(ring).kid).toBe('a')
    expect(ring.keys).toMatchObject([
      { kid: 'a', state: 'active', publishedAt: START, activatedAt: START },
      { kid: 'b', state: 'next', publishedAt: START },
    ])
  })

  test('publishes both without a private member, the active one first', () => {
    expect(publicJwks(ring)).toEqual({
      keys: [
        { kty: 'RSA', kid: 'a', alg: 'RS256', use: 'sig', n: 'n-of-a', e: 'AQAB' },
        { kty: 'RSA', kid: 'b', alg: 'RS256', use: 'sig', n: 'n-of-b', e: 'AQAB' },
      ],
    })
  })
})

describe('promoting', () => {
  const ring = createRing(makeFakeKey('a'), makeFakeKey('b'), START)
  const promoteAt = (now: number) =>
    promoteNext(ring, makeFakeKey('c'), { now, jwksMaxAgeSeconds: 300 })

  test('is refused until two max-ages have passed, to the second', () => {
    expect(promoteAt(START)).toBeUndefined()
    expect(promoteAt(START + 599)).toBeUndefined()
    expect(promoteAt(START + 600)).toBeDefined()
  })

  test('makes next sign, publishes another one and destroys the private half of the old key', () => {
    const promoted = promoteAt(START + 600) ?? { keys: [] }
    expect(promoted.keys).toEqual([
      { ...makeFakeKey('b'), state: 'active', publishedAt: START, activatedAt: START + 600 },
      { ...makeFakeKey('c'), state: 'next', publishedAt: START + 600 },
      {
        kid: 'a',
        publicJwk: makeFakeKey('a').publicJwk,
        state: 'retiring',
        publishedAt: START,
        activatedAt: START,
        retiredAt: START + 600,
      },
    ])
  })

  test('is refused when there is no next key', () => {
    const alone = { keys: ring.keys.filter(({ state }) => state === 'active') }
    const options = { now: START + 10_000, jwksMaxAgeSeconds: 1 }
    expect(promoteNext(alone, makeFakeKey('c'), options)).toBeUndefined()
  })

  test('leaves the ring that it was given as it was', () => {
    const before = structuredClone(ring)
    promoteAt(START + 600)
    dropRetired(ring, START + 600, 0)
    publicJwks(ring)
    expect(ring).toEqual(before)
  })
})

describe('retiring', () => {
  const options = { now: START + 600, jwksMaxAgeSeconds: 300 }
  const ring = createRing(makeFakeKey('a'), makeFakeKey('b'), START)
  const promoted = promoteNext(ring, makeFakeKey('c'), options) ?? { keys: [] }

  test('lasts until the last token has expired, to the second', () => {
    expect(kidsOf(dropRetired(promoted, START + 600 + 930, 930))).toEqual(['b', 'c', 'a'])
    expect(kidsOf(dropRetired(promoted, START + 600 + 931, 930))).toEqual(['b', 'c'])
  })

  test('never takes an active or next key away, however old', () => {
    expect(statesOf(dropRetired(promoted, START * 2, 0))).toEqual(['b active', 'c next'])
  })
})

test('a ring without an active key signs nothing', () => {
  expect(() => activeKey({ keys: [] })).toThrow('no active key')
})

/** What an operator and time do to a ring. */
type Step = { type: 'wait'; seconds: number } | { type: 'promote' } | { type: 'drop' }

type Token = { kid: string; issuedAt: number; expiresAt: number }

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.nat({ max: 700 }).map((seconds) => ({ type: 'wait', seconds }) as const),
  },
  { weight: 2, arbitrary: fc.constant({ type: 'promote' } as const) },
  { weight: 1, arbitrary: fc.constant({ type: 'drop' } as const) },
)

describe('whatever happens to a ring, in any order', () => {
  /** Plays the steps, issues a token after each, and shows every ring on the way. */
  function play(
    { steps, maxAge, lifetime }: { steps: Step[]; maxAge: number; lifetime: number },
    look: (ring: Ring, now: number, tokens: readonly Token[]) => void,
  ): void {
    let made = 0
    const makeKey = () => makeFakeKey(`key-${(made += 1)}`)
    let now = START
    let ring = createRing(makeKey(), makeKey(), now)
    const tokens: Token[] = []
    look(ring, now, tokens)
    for (const each of steps) {
      if (each.type === 'wait') now += each.seconds
      else if (each.type === 'drop') ring = dropRetired(ring, now, lifetime)
      else ring = promoteNext(ring, makeKey(), { now, jwksMaxAgeSeconds: maxAge }) ?? ring
      tokens.push({ kid: activeKey(ring).kid, issuedAt: now, expiresAt: now + lifetime })
      look(ring, now, tokens)
    }
  }

  const life = fc.record({
    steps: fc.array(step, { maxLength: 40 }),
    maxAge: fc.integer({ min: 1, max: 400 }),
    lifetime: fc.integer({ min: 60, max: 1860 }),
  })

  /** True of every ring of every life. */
  const always = (look: Parameters<typeof play>[1]) =>
    fc.assert(fc.property(life, (life) => play(life, look)))

  test('exactly one key is active and exactly one is next', () => {
    always(({ keys }) => {
      expect(keys.filter(({ state }) => state === 'active')).toHaveLength(1)
      expect(keys.filter(({ state }) => state === 'next')).toHaveLength(1)
    })
  })

  test('no key but the very first signs before it was published for two max-ages', () => {
    fc.assert(
      fc.property(life, (life) => {
        const firstSeen = new Map<string, number>()
        play(life, (ring, now, tokens) => {
          for (const kid of kidsOf(ring)) {
            if (!firstSeen.has(kid)) firstSeen.set(kid, now)
          }
          const token = tokens.at(-1)
          if (token === undefined || token.kid === 'key-1') return
          const age = token.issuedAt - (firstSeen.get(token.kid) ?? Infinity)
          expect(age).toBeGreaterThanOrEqual(2 * life.maxAge)
        })
      }),
    )
  })

  test('the key of every live token is published', () => {
    always((ring, now, tokens) => {
      const kids = kidsOf(ring)
      const live = tokens.filter(({ expiresAt }) => now <= expiresAt)
      expect(live.filter(({ kid }) => !kids.includes(kid))).toEqual([])
    })
  })

  test('a retiring key is gone once every token of its time as the active one has expired', () => {
    fc.assert(
      fc.property(life, (life) => {
        const retiredSince = new Map<string, number>()
        play(life, (ring, now) => {
          for (const { kid, state } of ring.keys) {
            if (state === 'retiring' && !retiredSince.has(kid)) retiredSince.set(kid, now)
          }
          const kept = kidsOf(dropRetired(ring, now, life.lifetime))
          const overdue = kept.filter((kid) => {
            const since = retiredSince.get(kid)
            return since !== undefined && now > since + life.lifetime
          })
          expect(overdue).toEqual([])
        })
      }),
    )
  })

  test('only active and next keys have a private half', () => {
    always(({ keys }) => {
      for (const key of keys) expect('privateJwk' in key).toBe(key.state !== 'retiring')
      const retiring = keys.filter(({ state }) => state === 'retiring')
      expect(JSON.stringify(retiring)).not.toContain('PRIVATE')
    })
  })

  test('nothing private is published', () => {
    always((ring) => {
      expect(JSON.stringify(publicJwks(ring))).not.toContain('PRIVATE')
      for (const key of publishedBy(ring)) {
        expect(Object.keys(key).sort()).toEqual(['alg', 'e', 'kid', 'kty', 'n', 'use'])
      }
    })
  })

  test('every key is published once, the active one first', () => {
    always((ring) => {
      const kids = kidsOf(ring)
      expect(new Set(kids).size).toBe(kids.length)
      expect(kids).toHaveLength(ring.keys.length)
      expect(kids[0]).toBe(activeKey(ring).kid)
    })
  })

  test('a key that retired never comes back', () => {
    fc.assert(
      fc.property(life, (life) => {
        const retired = new Set<string>()
        play(life, ({ keys }) => {
          const living = keys.filter(({ state }) => state !== 'retiring')
          expect(living.filter(({ kid }) => retired.has(kid))).toEqual([])
          for (const { kid, state } of keys) if (state === 'retiring') retired.add(kid)
        })
      }),
    )
  })

  test('a promotion is refused exactly while next is too young', () => {
    fc.assert(
      fc.property(life, (life) => {
        play(life, (ring, now) => {
          const next = ring.keys.find((key) => key.state === 'next')
          if (next === undefined) throw new Error('no next key')
          const options = { now, jwksMaxAgeSeconds: life.maxAge }
          const isRefused = promoteNext(ring, makeFakeKey('x'), options) === undefined
          expect(isRefused).toBe(now < promotableAt(next, life.maxAge))
        })
      }),
    )
  })
})
