import { calculateJwkThumbprint, exportJWK, generateKeyPair, SignJWT, type JWK } from 'jose'
import { hash, randomUUID } from 'node:crypto'

export type DpopClient = {
  jkt: string
  jwk: JWK
  privateKey: CryptoKey
  /** A proof for that request, good unless claims or header say otherwise; undefined takes one away. */
  prove: (
    request: { method: string; uri: string; accessToken?: string },
    over?: Record<string, unknown>,
    header?: Record<string, unknown>,
  ) => Promise<string>
}

/** Somebody with a key of their own who makes DPoP proofs (RFC 9449 §4.2). */
export async function createDpopClient(
  clock: () => number = Date.now,
  alg = 'ES256',
): Promise<DpopClient> {
  const { publicKey, privateKey } = await generateKeyPair(alg, { extractable: true })
  const jwk = await exportJWK(publicKey)
  return {
    jwk,
    jkt: await calculateJwkThumbprint(jwk),
    privateKey,
    prove: ({ method, uri, accessToken }, over = {}, header = {}) =>
      new SignJWT({
        htm: method,
        htu: uri,
        iat: Math.floor(clock() / 1000),
        jti: randomUUID(),
        ...(accessToken === undefined ? {} : { ath: hash('sha256', accessToken, 'base64url') }),
        ...over,
      })
        .setProtectedHeader({ alg, typ: 'dpop+jwt', jwk, ...header })
        .sign(privateKey),
  }
}
