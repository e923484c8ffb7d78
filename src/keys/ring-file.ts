import { calculateJwkThumbprint, exportJWK, generateKeyPair } from 'jose'
import { z } from 'zod'
import { ConfigError } from '../kernel/errors.ts'
import type { FreshKey, Ring } from './ring.ts'

const MIN_MODULUS_BITS = 2048

const base64url = z.string().regex(/^[A-Za-z0-9_-]+$/)
const publicJwk = z.object({ kty: z.literal('RSA'), n: base64url, e: base64url })
const privateJwk = publicJwk.extend({
  d: base64url,
  p: base64url,
  q: base64url,
  dp: base64url,
  dq: base64url,
  qi: base64url,
})
const published = { kid: base64url, publicJwk, publishedAt: z.int() }
const privateHalf = z.union([
  z.object({ privateJwk }),
  z.object({ home: z.object({ name: z.string(), keyId: z.string() }) }),
])
const ringSchema = z.object({
  keys: z.array(
    z.union([
      z
        .object({ ...published, state: z.literal('next'), wantedSince: z.int().optional() })
        .and(privateHalf),
      z.object({ ...published, state: z.literal('active'), activatedAt: z.int() }).and(privateHalf),
      z.object({
        ...published,
        state: z.literal('retiring'),
        activatedAt: z.int(),
        retiredAt: z.int(),
      }),
    ]),
  ),
})

/** A fresh RSA key pair whose kid is its RFC 7638 thumbprint. */
export async function generateSigningKey(modulusLength: number): Promise<FreshKey> {
  const pair = await generateKeyPair('RS256', { modulusLength, extractable: true })
  const jwk = privateJwk.parse(await exportJWK(pair.privateKey))
  return {
    kid: await calculateJwkThumbprint(jwk),
    publicJwk: publicJwk.parse(jwk),
    privateJwk: jwk,
  }
}

/** The ring in that text, which is kept at `path`. A ConfigError when it is damaged. */
export async function parseRing(path: string, text: string): Promise<Ring> {
  const parsed = ringSchema.safeParse(parseJson(text))
  if (!parsed.success) throw damaged(path, 'it does not have the shape of a key ring')
  const { keys } = parsed.data
  if (keys.filter((key) => key.state === 'active').length !== 1) {
    throw damaged(path, 'it must hold exactly one active key')
  }
  if (new Set(keys.map(({ kid }) => kid)).size !== keys.length) {
    throw damaged(path, 'it holds a key twice')
  }
  for (const key of keys) {
    const isItsOwn = !('privateJwk' in key) || key.privateJwk.n === key.publicJwk.n
    if (!isItsOwn || (await calculateJwkThumbprint(key.publicJwk)) !== key.kid) {
      throw damaged(path, `the key ${key.kid} does not match its kid`)
    }
    if (Buffer.from(key.publicJwk.n, 'base64url').length * 8 < MIN_MODULUS_BITS) {
      throw damaged(path, `the key ${key.kid} is shorter than ${MIN_MODULUS_BITS} bits`)
    }
  }
  return parsed.data
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function damaged(path: string, what: string): ConfigError {
  return new ConfigError(
    [`${path} is damaged: ${what}`],
    'restore it from a backup; only if there is none, move it away: new keys are then made and every token is void',
  )
}
