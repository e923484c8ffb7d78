import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  dropRetired,
  dueStep,
  promotableAt,
  promoteNext,
  removeCompromised,
  stageNext,
  wantNext,
} from '../../src/keys/lifecycle.ts'
import { activeKey, createRing, publicJwks, type Ring } from '../../src/keys/ring.ts'
import { makeFakeKey } from '../support/ring-keys.ts'

const START = 1_700_000_000

type PublicJwk = { kid: string; alg: string; use: string; kty: string; n: string; e: string }
const publishedBy = (ring: Ring) => publicJwks(ring).keys as PublicJwk[]
const kidsOf = (ring: Ring) => publishedBy(ring).map(({ kid }) => kid)
const statesOf = (ring: Ring) => ring.keys.map(({ kid, state }) => `${kid} ${state}`)

describe('promoting', () => {
  const ring = createRing(makeFakeKey('a'), makeFakeKey('b'), START)
  const promoteAt = (now: number) =>
    promoteNext(ring, makeFakeKey('c'), { now, jwksMaxAgeSeconds: 300 })

  test('is refused until two max-ages have passed, to the second', () => {
    expect(promoteAt(START)).toBeUndefined()
    expect(promoteAt(START + 600)).toBeUndefined()
    expect(promoteAt(START + 601)).toBeDefined()
  })

  test('makes next sign, publishes another one and destroys the private half of the old key', () => {
    const promoted = promoteAt(START + 601) ?? { keys: [] }
    expect(promoted.keys).toEqual([
      { ...makeFakeKey('b'), state: 'active', publishedAt: START + 1, activatedAt: START + 601 },
      { ...makeFakeKey('c'), state: 'next', publishedAt: START + 602 },
      {
        kid: 'a',
        publicJwk: makeFakeKey('a').publicJwk,
        state: 'retiring',
        publishedAt: START,
        activatedAt: START,
        retiredAt: START + 601,
      },
    ])
  })

  test('leaves nothing behind that says where the old private half was', () => {
    const { kid, publicJwk } = makeFakeKey('a')
    const elsewhere = { kid, publicJwk, home: { name: 'vault', keyId: '7' } }
    const kept = createRing(elsewhere, makeFakeKey('b'), START)
    const now = START + 601
    const promoted = promoteNext(kept, makeFakeKey('c'), { now, jwksMaxAgeSeconds: 300 })
    expect(promoted?.keys[2]).not.toHaveProperty('home')
  })

  test('is refused when there is no next key', () => {
    const alone = { keys: ring.keys.filter(({ state }) => state === 'active') }
    const options = { now: START + 10_000, jwksMaxAgeSeconds: 1 }
    expect(promoteNext(alone, makeFakeKey('c'), options)).toBeUndefined()
  })

  test('leaves the ring that it was given as it was', () => {
    const before = structuredClone(ring)
    promoteAt(START + 601)
    dropRetired(ring, START + 600, 0)
    publicJwks(ring)
    expect(ring).toEqual(before)
  })
})

describe('what time asks for', () => {
  const policy = { jwksMaxAgeSeconds: 300, tokenLifetimeSeconds: 930, rotateEverySeconds: 86_400 }
  const ring = createRing(makeFakeKey('a'), makeFakeKey('b'), START)
  const later = START + 601

  test('is nothing while all is in order', () => {
    expect(dueStep(ring, START, policy)).toBeUndefined()
    expect(dueStep(ring, START + 86_399, policy)).toBeUndefined()
  })

  test('is to stage a key where none is published ahead', () => {
    const alone = { keys: ring.keys.slice(0, 1) }
    expect(dueStep(alone, START, policy)).toBe('stage')
    const staged = stageNext(alone, makeFakeKey('c'), later)
    expect(statesOf(staged)).toEqual(['a active', 'c next'])
    expect(stageNext(staged, makeFakeKey('d'), later)).toBe(staged)
  })

  test('is to promote once the active key is old, and not before next may sign', () => {
    expect(dueStep(ring, START + 86_400, policy)).toBe('promote')
    expect(dueStep(ring, START + 600, { ...policy, rotateEverySeconds: 1 })).toBeUndefined()
    expect(dueStep(ring, START + 601, { ...policy, rotateEverySeconds: 1 })).toBe('promote')
  })

  test('is to promote as soon as that may be, where somebody wants it, and once', () => {
    const wanted = wantNext(ring, START + 5)
    expect(wantNext(wanted, START + 9)).toEqual(wanted)
    expect(dueStep(wanted, later - 1, policy)).toBeUndefined()
    expect(dueStep(wanted, later, policy)).toBe('promote')
    const options = { now: later, jwksMaxAgeSeconds: 300 }
    const promoted = promoteNext(wanted, makeFakeKey('c'), options) ?? { keys: [] }
    expect(JSON.stringify(promoted)).not.toContain('wantedSince')
    expect(dueStep(promoted, later + 700, policy)).toBeUndefined()
  })

  test('is to drop what has retired for long enough', () => {
    const options = { now: later, jwksMaxAgeSeconds: 300 }
    const promoted = promoteNext(ring, makeFakeKey('c'), options) ?? { keys: [] }
    expect(dueStep(promoted, later + 930, policy)).toBeUndefined()
    expect(dueStep(promoted, later + 931, policy)).toBe('drop')
  })
})

describe('a stolen key', () => {
  const promoted = promoteNext(
    createRing(makeFakeKey('a'), makeFakeKey('b'), START),
    makeFakeKey('c'),
    {
      now: START + 601,
      jwksMaxAgeSeconds: 300,
    },
  ) ?? { keys: [] }
  const statesWithout = (kid: string) =>
    statesOf(removeCompromised(promoted, kid, { fresh: makeFakeKey('x'), now: START + 700 })).sort()

  test('that signs is replaced at once by a fresh one, not by the one beside it', () => {
    expect(statesWithout('b')).toEqual(['a retiring', 'c next', 'x active'])
  })

  test('that is published ahead is replaced', () => {
    expect(statesWithout('c')).toEqual(['a retiring', 'b active', 'x next'])
  })

  test('that is retiring goes', () => {
    expect(statesWithout('a')).toEqual(['b active', 'c next'])
  })

  test('that is not in the ring changes nothing', () => {
    const fresh = makeFakeKey('x')
    expect(removeCompromised(promoted, 'z', { fresh, now: START })).toBe(promoted)
  })
})

describe('retiring', () => {
  const options = { now: START + 601, jwksMaxAgeSeconds: 300 }
  const ring = createRing(makeFakeKey('a'), makeFakeKey('b'), START)
  const promoted = promoteNext(ring, makeFakeKey('c'), options) ?? { keys: [] }

  test('lasts until the last token has expired, to the second', () => {
    expect(kidsOf(dropRetired(promoted, START + 601 + 930, 930))).toEqual(['b', 'c', 'a'])
    expect(kidsOf(dropRetired(promoted, START + 601 + 931, 930))).toEqual(['b', 'c'])
  })

  test('never takes an active or next key away, however old', () => {
    expect(statesOf(dropRetired(promoted, START * 2, 0))).toEqual(['b active', 'c next'])
  })
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
