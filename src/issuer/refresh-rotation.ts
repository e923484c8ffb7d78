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
 * `missing` where the store failed after it was used and before that was written.
 */
export type UsedRefreshToken = { consumedAt: number; successor: 'missing' | 'unused' | 'used' }

/**
 * Whether its use is a lost answer being asked for again, rather than the use of a stolen token. A successor that is not
 * there was given to nobody, however long the store was away: a failover may take longer than the window.
 */
export function isRetry({ consumedAt, successor }: UsedRefreshToken, now: number): boolean {
  if (successor === 'missing') return true
  return successor === 'unused' && now <= consumedAt + RETRY_WINDOW_SECONDS
}
