import { z } from 'zod'
import { AuthError } from '../kernel/errors.ts'
import type { AccessToken } from '../tokens/access-token.ts'

export const adminScopeSchema = z.enum([
  'admin:read',
  'admin:keys',
  'admin:clients',
  'admin:users',
  'admin:revoke',
])
export type AdminScope = z.infer<typeof adminScopeSchema>

/** Every scope of the admin API. */
export const ADMIN_SCOPES: readonly AdminScope[] = adminScopeSchema.options

/** The resource (RFC 8707) that admin tokens are for. */
export const adminResourceOf = (issuer: string): string => `${issuer}/admin`

/** AuthError `insufficient_scope` unless the token has that scope. */
export function requireScope(caller: AccessToken, scope: AdminScope): void {
  if (caller.scopes.includes(scope)) return
  throw new AuthError('insufficient_scope', `This needs the scope ${scope}.`, {
    requiredScope: scope,
  })
}

/**
 * Nobody hands out, or takes over, more power over this API than they have: AuthError `insufficient_scope` when
 * `scope` holds an admin scope that the caller lacks.
 */
export function requireAtMostOwnPower(caller: AccessToken, scope: string): void {
  const beyond = adminScopesIn(scope).filter((each) => !caller.scopes.includes(each))
  if (beyond.length === 0) return
  const missing = beyond.join(' ')
  throw new AuthError('insufficient_scope', `Only who has ${missing} may do this.`, {
    requiredScope: missing,
  })
}

function adminScopesIn(scope: string): AdminScope[] {
  const named = new Set(scope.split(' '))
  return ADMIN_SCOPES.filter((each) => named.has(each))
}
