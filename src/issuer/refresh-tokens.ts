import type Provider from 'oidc-provider'
import type { Client, KoaContextWithOIDC } from 'oidc-provider'
import { randomBytes } from 'node:crypto'
import { z } from 'zod'
import type { OidcProvider } from './oidc-provider.ts'
import { successorOf } from './refresh-rotation.ts'

const TOKEN_BYTES = 32

/** Lets a refresh token follow from the one that was brought for it; the first one of a grant is random. */
export function deriveRefreshTokens(
  provider: Provider,
  refreshKey: Buffer,
  { Provider }: OidcProvider,
): void {
  Object.assign(provider.RefreshToken.prototype, {
    generateTokenId(): string {
      const predecessor = Provider.ctx?.oidc.entities.RotatedRefreshToken?.jti
      return predecessor === undefined
        ? randomBytes(TOKEN_BYTES).toString('base64url')
        : successorOf(refreshKey, predecessor)
    },
  })
}

/** Every sign-in to a client that registered the grant, `offline_access` or not: see docs/http-api.md. */
export function issueRefreshToken(_ctx: unknown, client: Client): boolean {
  return client['refreshes_sign_ins'] === true
}

/**
 * Every refresh token is used once. For a resource that it is not for, it is not used at all (RFC 8707 §2.2):
 * oidc-provider would refuse that afterwards, and the client had lost it to a slip.
 */
export function rotateForGrantedResource({ errors }: OidcProvider) {
  return function rotateRefreshToken({ oidc }: KoaContextWithOIDC): boolean {
    const asked = z.array(z.string()).parse([oidc.params?.['resource'] ?? []].flat())
    const granted = oidc.entities.RefreshToken?.resourceIndicators
    if (asked.length > 1 || asked.some((each) => granted?.has(each) !== true)) {
      throw new errors.InvalidTarget('the resource is not the one that was granted')
    }
    return true
  }
}
