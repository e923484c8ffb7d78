import { activeKey, asNext, nextKey, type FreshKey, type NextKey, type Ring } from './ring.ts'

/**
 * What becomes of the keys of a ring: `next` → `active` → `retiring` → gone, and out at once for a key that was stolen.
 * Every function here is pure: the caller brings the time (in seconds) and the fresh keys, and stores the result.
 */
export type KeyPolicy = {
  jwksMaxAgeSeconds: number
  /** From the last signature of a key until nobody accepts it any more, verifiers' clock skew included. */
  tokenLifetimeSeconds: number
  rotateEverySeconds: number
}

export type DueStep = 'stage' | 'promote' | 'drop'

/** What time asks for, one step at a time, so that a crash between any two leaves a ring that works. */
export function dueStep(ring: Ring, now: number, policy: KeyPolicy): DueStep | undefined {
  const next = nextKey(ring)
  if (next === undefined) return 'stage'
  if (dropRetired(ring, now, policy.tokenLifetimeSeconds) !== ring) return 'drop'
  const isWanted =
    next.wantedSince !== undefined || now >= activeKey(ring).activatedAt + policy.rotateEverySeconds
  return isWanted && now >= promotableAt(next, policy.jwksMaxAgeSeconds) ? 'promote' : undefined
}

/** Publishes a key ahead. The very same ring when there is one already. */
export function stageNext(ring: Ring, fresh: FreshKey, now: number): Ring {
  if (nextKey(ring) !== undefined) return ring
  return { keys: [...ring.keys, asNext(fresh, now)] }
}

/** When `next` may sign: once every verifier that honours the JWKS's max-age twice over has seen it. */
export function promotableAt(next: NextKey, jwksMaxAgeSeconds: number): number {
  return next.publishedAt + 2 * jwksMaxAgeSeconds
}

/** Remembers that `next` is to sign as soon as it may. */
export function wantNext(ring: Ring, now: number): Ring {
  return {
    keys: ring.keys.map((key) => (key.state === 'next' ? { wantedSince: now, ...key } : key)),
  }
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
  const next = nextKey(ring)
  if (next === undefined || now < promotableAt(next, jwksMaxAgeSeconds)) return undefined
  const { wantedSince: _done, ...promoted } = next
  const { privateJwk: _destroyed, home: _left, ...old } = activeKey(ring)
  return {
    keys: [
      { ...promoted, state: 'active', activatedAt: now },
      asNext(following, now),
      { ...old, state: 'retiring', retiredAt: now },
      ...ring.keys.filter((key) => key.state === 'retiring'),
    ],
  }
}

/** Drops the retiring keys whose last token has expired everywhere. The very same ring when there is none. */
export function dropRetired(ring: Ring, now: number, tokenLifetimeSeconds: number): Ring {
  const kept = ring.keys.filter(
    (key) => key.state !== 'retiring' || now <= key.retiredAt + tokenLifetimeSeconds,
  )
  return kept.length === ring.keys.length ? ring : { keys: kept }
}

/**
 * Takes a key out at once. An active or next one is replaced by the fresh one, which signs without having been published
 * ahead: whatever lay beside the stolen key is not trusted with that. The very same ring when it is not in there.
 */
export function removeCompromised(
  ring: Ring,
  kid: string,
  { fresh, now }: { fresh: FreshKey; now: number },
): Ring {
  const stolen = ring.keys.find((key) => key.kid === kid)
  if (stolen === undefined) return ring
  const rest = ring.keys.filter((key) => key !== stolen)
  switch (stolen.state) {
    case 'active':
      return { keys: [{ ...fresh, state: 'active', publishedAt: now, activatedAt: now }, ...rest] }
    case 'next':
      return { keys: [...rest, asNext(fresh, now)] }
    case 'retiring':
      return { keys: rest }
  }
}
