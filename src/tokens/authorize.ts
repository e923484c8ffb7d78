import { AuthError } from '../kernel/errors.ts'
import type { AccessToken } from './access-token.ts'

/** AuthError `insufficient_scope` unless the token has every scope that a route needs (RFC 6750 §3.1). */
export function authorize(token: AccessToken, scopes: readonly string[]): void {
  for (const scope of scopes) {
    if (token.scopes.includes(scope)) continue
    throw new AuthError('insufficient_scope', `The scope ${scope} is needed.`, {
      requiredScope: scopes.join(' '),
    })
  }
}
