import { AppError } from '../kernel/errors.ts'

/** Scopes that are of no resource: those of OpenID Connect Core §5.4 and §11. */
const OPENID_SCOPES = ['openid', 'profile', 'email', 'offline_access']

/** AppError `malformed_request` when `scope` has one that no resource knows: a slip that would show much later. */
export function requireKnownScopes(scope: string, known: readonly string[]): void {
  const all = [...known, ...OPENID_SCOPES]
  const unknown = scope.split(' ').find((each) => each !== '' && !all.includes(each))
  if (unknown === undefined) return
  throw new AppError(
    'malformed_request',
    `scope: ${unknown.slice(0, 100)} is not a scope of any resource; known are ${all.join(', ')}`,
    { reason: 'unknown_scope' },
  )
}
