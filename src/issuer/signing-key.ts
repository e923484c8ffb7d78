import { createPublicKey } from 'node:crypto'
import type { ExternalSigningKey, JWK } from 'oidc-provider'
import type { KeyHome } from '../keys/key-home.ts'
import { activeKey, type ActiveKey, type Ring } from '../keys/ring.ts'
import type { OidcProvider } from './oidc-provider.ts'

/** The active key as oidc-provider takes it: a copy, as it changes the objects that it is given, or its signing elsewhere. */
export function signingKeyOf(
  ring: Ring,
  home: KeyHome | undefined,
  oidc: OidcProvider,
): JWK | ExternalSigningKey {
  const active = activeKey(ring)
  if (active.privateJwk === undefined) return homeKey(active, home, oidc)
  return { ...active.privateJwk, kid: active.kid, alg: 'RS256', use: 'sig' }
}

function homeKey(
  { kid, publicJwk, home: address }: ActiveKey & { privateJwk?: never },
  home: KeyHome | undefined,
  { ExternalSigningKey }: OidcProvider,
): ExternalSigningKey {
  if (home === undefined || home.name !== address.name) {
    throw new Error(`the active key is in ${address.name}, which is not at hand`)
  }
  const publicKey = createPublicKey({ key: publicJwk, format: 'jwk' })
  const { sign } = home
  class HomeKey extends ExternalSigningKey {
    override keyObject = () => publicKey
    override sign = (data: Uint8Array) => sign(address.keyId, data)
  }
  return Object.assign(new HomeKey(), { kid, alg: 'RS256' })
}
