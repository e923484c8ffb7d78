import { createHmac } from 'node:crypto'

/** How long a client may ask again that has not received the answer. */
const RETRY_WINDOW_SECONDS = 10

/**
 * The refresh token that follows: whoever holds the predecessor is given the very same one again, and nobody else can
 * tell it from a random one. 256 bits.
 */
export function successorOf(refreshKey: Buffer, refreshToken: string): string {
  return createHmac('sha256', refreshKey).update(refreshToken).digest('base64url')
}

/**
 * A refresh token that was used, as far as it matters for using it again. Times in seconds since the epoch. Its successor is
 * `missing` where the store failed after it was used and before that was written, and where it has expired since.
 */
export type UsedRefreshToken = { consumedAt: number; successor: 'missing' | 'unused' | 'used' }

/** As long as a failover takes, and people to repair what it did not. */
const UNFINISHED_SECONDS = 3600

/**
 * Whether its use is a lost answer being asked for again, rather than the use of a stolen token. A successor that is not
 * there was given to nobody, as long as it could not have expired meanwhile: after the lifetime was made shorter, it does so before
 * its predecessor. `ttlSeconds` is the lifetime of a refresh token now.
 */
export function isRetry(
  { consumedAt, successor }: UsedRefreshToken,
  { now, ttlSeconds }: { now: number; ttlSeconds: number },
): boolean {
  if (successor === 'missing') {
    return now < consumedAt + Math.min(ttlSeconds, UNFINISHED_SECONDS)
  }
  return successor === 'unused' && now <= consumedAt + RETRY_WINDOW_SECONDS
}
