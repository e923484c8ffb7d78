import type { MakeKey } from './ring.ts'

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
