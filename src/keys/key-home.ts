import { ConfigError } from '../kernel/errors.ts'
import type { MakeKey, Ring } from './ring.ts'

/**
 * A place outside of this process where private keys are made, used and destroyed, and which none ever leaves: a PKCS#11
 * token, a cloud's KMS. What cannot be had just now is an AppError `temporarily_unavailable`.
 */
export type KeyHome = {
  /** Noted in the ring beside each key that lives here. */
  name: string
  /** A fresh RSA key pair, of which only the public half is given. */
  makeKey: MakeKey
  /** RSASSA-PKCS1-v1_5 with SHA-256 over the data (RFC 7518 §3.3). */
  sign: (keyId: string, data: Uint8Array) => Promise<Uint8Array>
  /** The keys that this installation has made here; `madeAt` in seconds since the epoch. */
  list: () => Promise<readonly HomeKey[]>
  /** Destroys the private half for good. Nothing happens when it is gone already. */
  destroy: (keyId: string) => Promise<void>
  close: () => Promise<void>
}

export type HomeKey = { keyId: string; madeAt: number }

/** A ConfigError when the ring has a key that would have to sign in a home that is not configured or does not have it. */
export async function requireKeysAtHand(ring: Ring, home: KeyHome | undefined): Promise<void> {
  const elsewhere = ring.keys.flatMap((key) =>
    key.state === 'retiring' || key.home === undefined ? [] : [{ ...key.home, kid: key.kid }],
  )
  if (elsewhere.length === 0) return
  const held = new Set((await home?.list())?.map(({ keyId }) => keyId))
  const problems = elsewhere.flatMap(({ kid, name, keyId }) => {
    if (name !== home?.name) return [`the key ${kid} is in ${name}: configure keys.${name}`]
    return held.has(keyId) ? [] : [`the key ${kid} is not in ${name} any more`]
  })
  if (problems.length === 0) return
  throw new ConfigError(
    problems,
    'restore it from its backup; only if there is none, move the key ring away: new keys are then made and every token is void',
  )
}
