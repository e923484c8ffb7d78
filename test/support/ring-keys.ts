import { calculateJwkThumbprint } from 'jose'
import { generateKeyPairSync } from 'node:crypto'
import type { FreshKey, RsaPrivateJwk } from '../../src/keys/ring.ts'

/** A real RSA key pair with its RFC 7638 thumbprint as its kid. */
export async function makeRsaKey(modulusLength: number): Promise<FreshKey> {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength })
  const privateJwk = privateKey.export({ format: 'jwk' }) as RsaPrivateJwk
  const { kty, n, e } = privateJwk
  const publicJwk = { kty, n, e }
  return { kid: await calculateJwkThumbprint(publicJwk), publicJwk, privateJwk }
}

/** A key that looks like one to rules that do no arithmetic; its private members all say `PRIVATE`. */
export function makeFakeKey(kid: string): FreshKey {
  const publicJwk = { kty: 'RSA', n: `n-of-${kid}`, e: 'AQAB' } as const
  const part = 'PRIVATE'
  const privateParts = { d: part, p: part, q: part, dp: part, dq: part, qi: part }
  return { kid, publicJwk, privateJwk: { ...publicJwk, ...privateParts } }
}
