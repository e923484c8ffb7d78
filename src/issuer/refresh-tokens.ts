import type Provider from 'oidc-provider'
import type { Client } from 'oidc-provider'
import { randomBytes } from 'node:crypto'
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
