/**
 * The signing keys of an installation and what may be done with each. `next` is published and does not sign yet,
 * `active` signs, `retiring` only verifies and its private half is gone; a key that has left the ring verifies nothing.
 * Every function here is pure: the caller brings the time and stores the result.
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
export type NextKey = PublishedKey & { state: 'next'; privateJwk: RsaPrivateJwk }
export type ActiveKey = PublishedKey & {
  state: 'active'
  privateJwk: RsaPrivateJwk
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
export type FreshKey = { kid: string; publicJwk: RsaPublicJwk; privateJwk: RsaPrivateJwk }

/** The ring of a new installation: nobody can hold an older JWKS, so its first key may sign at once. */
export function createRing(first: FreshKey, following: FreshKey, now: number): Ring {
  return {
    keys: [
      { ...first, state: 'active', publishedAt: now, activatedAt: now },
      { ...following, state: 'next', publishedAt: now },
    ],
  }
}

export function activeKey(ring: Ring): ActiveKey {
  const active = ring.keys.find((key) => key.state === 'active')
  if (active === undefined) throw new Error('the ring has no active key')
  return active
}

/** When `next` may sign: once every verifier that honours the JWKS's max-age twice over has seen it. */
export function promotableAt(next: NextKey, jwksMaxAgeSeconds: number): number {
  return next.publishedAt + 2 * jwksMaxAgeSeconds
}

/**
 * Makes `next` sign and publishes `following` as the new `next`. The old active key keeps verifying, without its
 * private half. Gives undefined when `next` has not been published for long enough.
 */
export function promoteNext(
  ring: Ring,
  following: FreshKey,
  { now, jwksMaxAgeSeconds }: { now: number; jwksMaxAgeSeconds: number },
): Ring | undefined {
  const next = ring.keys.find((key) => key.state === 'next')
  if (next === undefined || now < promotableAt(next, jwksMaxAgeSeconds)) return undefined
  const { privateJwk: _destroyed, ...old } = activeKey(ring)
  return {
    keys: [
      { ...next, state: 'active', activatedAt: now },
      { ...following, state: 'next', publishedAt: now },
      { ...old, state: 'retiring', retiredAt: now },
      ...ring.keys.filter((key) => key.state === 'retiring'),
    ],
  }
}

/** Drops the retiring keys whose last token has expired everywhere, verifiers' clock skew included. */
export function dropRetired(ring: Ring, now: number, tokenLifetimeSeconds: number): Ring {
  return {
    keys: ring.keys.filter(
      (key) => key.state !== 'retiring' || now <= key.retiredAt + tokenLifetimeSeconds,
    ),
  }
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
