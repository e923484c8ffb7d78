import { hkdfSync, timingSafeEqual } from 'node:crypto'
import { epochSeconds, type Clock } from '../kernel/clock.ts'

/** Nonces for DPoP proofs (RFC 9449 §8, §9). */
export type DpopNonces = {
  /** The one to hand out now. */
  current: () => string
  isAcceptable: (nonce: string) => boolean
}

const STEP_SECONDS = 60
const NONCE_BYTES = 32

/** For how long a nonce is accepted at most, from the first to the last place that shares the key. */
export const NONCE_LIFETIME_SECONDS = 3 * STEP_SECONDS

/**
 * Nonces that are kept nowhere: each is derived from a key and the minute. Whoever shares the key accepts them, those of
 * the minute before, and those of the next one, as clocks differ. `key` is asked each time, so that it may change.
 * oidc-provider makes the same of the same key, so a client of the issuer needs one at a time.
 */
export function createDpopNonces(key: () => Buffer, clock: Clock): DpopNonces {
  const step = () => Math.floor(epochSeconds(clock) / STEP_SECONDS)
  return {
    current: () => nonceOf(key(), step()).toString('base64url'),
    isAcceptable(nonce) {
      const sent = Buffer.from(nonce, 'base64url')
      const now = step()
      return [now, now - 1, now + 1].some((at) => {
        const ours = nonceOf(key(), at)
        return sent.length === ours.length && timingSafeEqual(sent, ours)
      })
    },
  }
}

function nonceOf(key: Buffer, step: number): Buffer {
  const salt = Buffer.alloc(8)
  salt.writeBigUInt64BE(BigInt(step))
  return Buffer.from(hkdfSync('sha256', key, salt, 'DPoP', NONCE_BYTES))
}
