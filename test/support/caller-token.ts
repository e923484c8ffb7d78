import type { AccessToken } from '../../src/tokens/access-token.ts'

/** A verified token of that tenant, and of the client of the same name unless another is named. */
export function callerToken(
  tenantId: string,
  {
    weight = 1,
    expiresAt = 4_000_000_000,
    clientId = tenantId,
  }: { weight?: number; expiresAt?: number; clientId?: string } = {},
): AccessToken {
  return {
    kid: 'k',
    jti: 'j',
    subject: tenantId,
    clientId,
    audiences: [],
    tenantId,
    scopes: [],
    limits: { weight },
    issuedAt: 0,
    expiresAt,
    confirmation: undefined,
  }
}
