import { createPrivateKey, createPublicKey, sign } from 'node:crypto'
import { promisify } from 'node:util'
import type { ExternalSigningKey } from 'oidc-provider'
import type { KeyHome } from '../keys/key-home.ts'
import { activeKey, type ActiveKey, type Ring, type RingKey } from '../keys/ring.ts'
import { refuse } from './client-authentication.ts'
import type { OidcProvider } from './oidc-provider.ts'

/** RSASSA-PKCS1-v1_5 with SHA-256 over the data (RFC 7518 §3.3). */
type Sign = (data: Uint8Array) => Promise<Uint8Array>

/**
 * The keys of a ring as oidc-provider takes them: the active one signs; a retiring one only verifies, so that an
 * `id_token_hint` from before a rotation still counts. All of them are external to it, wherever the private half is: its own
 * way through WebCrypto costs more CPU than node:crypto, and it takes no key that has no private half.
 */
export function signingKeysOf(
  ring: Ring,
  home: KeyHome | undefined,
  { Provider, ExternalSigningKey, errors }: OidcProvider,
): ExternalSigningKey[] {
  const external = ({ kid, publicJwk }: RingKey, signWith: Sign) => {
    const publicKey = createPublicKey({ key: publicJwk, format: 'jwk' })
    class RingSigningKey extends ExternalSigningKey {
      override keyObject = () => publicKey
      override sign = signWith
    }
    return Object.assign(new RingSigningKey(), { kid, alg: 'RS256' })
  }
  const active = activeKey(ring)
  const signWithActive = signerOf(active, home)
  const retiring = ring.keys.filter((key) => key.state === 'retiring')
  return [
    external(active, (data) =>
      signWithActive(data).catch((error: unknown) => refuse(error, Provider.ctx, errors)),
    ),
    ...retiring.map((key) => external(key, refuseToSign)),
  ]
}

/** A JWT with that `typ`, signed with the active key. */
export type SignJwt = (typ: string, claims: object) => Promise<string>

export function createJwtSigner(ring: Ring, home: KeyHome | undefined): SignJwt {
  const active = activeKey(ring)
  const signWith = signerOf(active, home)
  const encode = (part: object) => Buffer.from(JSON.stringify(part)).toString('base64url')
  return async (typ, claims) => {
    const input = `${encode({ alg: 'RS256', typ, kid: active.kid })}.${encode(claims)}`
    const signature = await signWith(Buffer.from(input))
    return `${input}.${Buffer.from(signature).toString('base64url')}`
  }
}

const signAsync = promisify(sign)

function signerOf({ privateJwk, home: address }: ActiveKey, home: KeyHome | undefined): Sign {
  if (privateJwk !== undefined) {
    const key = createPrivateKey({ key: privateJwk, format: 'jwk' })
    // With a callback it runs on libuv's threads, and the event loop goes on.
    return (data) => signAsync('sha256', data, key)
  }
  if (home === undefined || home.name !== address.name) {
    throw new Error(`the active key is in ${address.name}, which is not at hand`)
  }
  return (data) => home.sign(address.keyId, data)
}

function refuseToSign(): Promise<never> {
  return Promise.reject(new Error('a retiring key does not sign'))
}
