/**
 * The signing keys of an installation and what may be done with each. `next` is published and does not sign yet,
 * `active` signs, `retiring` only verifies and its private half is gone; a key that has left the ring verifies nothing.
 * What becomes of it with time is in lifecycle.ts.
 */
export type Ring = { keys: readonly RingKey[] }

export type RingKey = NextKey | ActiveKey | RetiringKey

type PublishedKey = {
  /** RFC 7638 thumbprint. */
  kid: string
  publicJwk: RsaPublicJwk
  /** Seconds since the epoch, like every time here. */
  publishedAt: number
}
/** Either in the ring itself, or in a home outside of this process that signs with it; see key-home.ts. */
export type PrivateHalf =
  | { privateJwk: RsaPrivateJwk; home?: never }
  | { home: HomeAddress; privateJwk?: never }

/** Where a private half is that never comes here: the home's name, and what that home calls the key. */
export type HomeAddress = { name: string; keyId: string }

export type NextKey = PublishedKey &
  PrivateHalf & {
    state: 'next'
    /** Since when an operator waits for it to sign as soon as it may. */
    wantedSince?: number | undefined
  }
export type ActiveKey = PublishedKey &
  PrivateHalf & {
    state: 'active'
    activatedAt: number
  }
export type RetiringKey = PublishedKey & {
  state: 'retiring'
  activatedAt: number
  retiredAt: number
}

export type RsaPublicJwk = { kty: 'RSA'; n: string; e: string }
export type RsaPrivateJwk = RsaPublicJwk & {
  d: string
  p: string
  q: string
  dp: string
  dq: string
  qi: string
}

/** A key pair that is in no ring yet. */
export type FreshKey = { kid: string; publicJwk: RsaPublicJwk } & PrivateHalf

export type MakeKey = () => Promise<FreshKey>

/** The ring of a new installation: nobody can hold an older JWKS, so its first key may sign at once. */
export function createRing(first: FreshKey, following: FreshKey, now: number): Ring {
  return {
    keys: [
      { ...first, state: 'active', publishedAt: now, activatedAt: now },
      asNext(following, now),
    ],
  }
}

/** Published from the next second on: the one that has begun counts for nothing. */
export function asNext(fresh: FreshKey, now: number): NextKey {
  return { ...fresh, state: 'next', publishedAt: now + 1 }
}

export function activeKey(ring: Ring): ActiveKey {
  const active = ring.keys.find((key) => key.state === 'active')
  if (active === undefined) throw new Error('the ring has no active key')
  return active
}

/** The key that is published ahead, where there is one. */
export function nextKey(ring: Ring): NextKey | undefined {
  return ring.keys.find((key) => key.state === 'next')
}

/** What a home calls the keys that it must hold for this ring: those that sign, or will. */
export function keysOfHome(ring: Ring, name: string): string[] {
  return ring.keys.flatMap((key) =>
    key.state !== 'retiring' && key.home?.name === name ? [key.home.keyId] : [],
  )
}

/** The JWK Set to publish (RFC 7517 §5), the active key first, without any private member. */
export function publicJwks(ring: Ring): { keys: object[] } {
  const order = { active: 0, next: 1, retiring: 2 }
  const published = [...ring.keys].sort((a, b) => order[a.state] - order[b.state])
  return {
    keys: published.map(({ kid, publicJwk: { kty, n, e } }) => ({
      kty,
      kid,
      alg: 'RS256',
      use: 'sig',
      n,
      e,
    })),
  }
}
