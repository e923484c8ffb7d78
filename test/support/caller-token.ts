import type { AccessToken } from '../../src/tokens/access-token.ts'

/** A verified token of that tenant. */
export function callerToken(
  tenantId: string,
  { weight = 1, expiresAt = 4_000_000_000 }: { weight?: number; expiresAt?: number } = {},
): AccessToken {
  return {
    kid: 'k',
    jti: 'j',
    subject: tenantId,
    clientId: tenantId,
    audiences: [],
    tenantId,
    scopes: new Set(),
    limits: { weight },
    issuedAt: 0,
    expiresAt,
    confirmation: undefined,
  }
}
