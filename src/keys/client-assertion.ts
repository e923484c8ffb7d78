import { SignJWT } from 'jose/jwt/sign'
import { importJWK } from 'jose/key/import'
import { randomUUID } from 'node:crypto'
import { epochSeconds, type Clock } from '../kernel/clock.ts'
import type { ClientKey } from './client-key-file.ts'

const LIFETIME_SECONDS = 60

export type AssertionOptions = { key: ClientKey; clientId: string; issuer: string; clock: Clock }

/**
 * What a client says to prove that it is itself (private_key_jwt, RFC 7523 §3): for one use within a minute, at that
 * issuer alone.
 */
export async function signClientAssertion(options: AssertionOptions): Promise<string> {
  const { key, clientId, issuer, clock } = options
  return new SignJWT({ jti: randomUUID() })
    .setProtectedHeader({ alg: key.alg, kid: key.kid, typ: 'JWT' })
    .setIssuer(clientId)
    .setSubject(clientId)
    .setAudience(issuer)
    .setExpirationTime(epochSeconds(clock) + LIFETIME_SECONDS)
    .sign(await importJWK(key, key.alg))
}
