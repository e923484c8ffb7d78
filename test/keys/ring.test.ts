import { describe, expect, test } from 'vitest'
import { activeKey, createRing, publicJwks } from '../../src/keys/ring.ts'
import { makeFakeKey } from '../support/ring-keys.ts'

const START = 1_700_000_000

describe('a new ring', () => {
  const ring = createRing(makeFakeKey('a'), makeFakeKey('b'), START)

  test('signs with its first key at once and publishes the next', () => {
    expect(activeKey(ring).kid).toBe('a')
    expect(ring.keys).toMatchObject([
      { kid: 'a', state: 'active', publishedAt: START, activatedAt: START },
      { kid: 'b', state: 'next', publishedAt: START + 1 },
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

test('a ring without an active key signs nothing', () => {
  expect(() => activeKey({ keys: [] })).toThrow('no active key')
})
