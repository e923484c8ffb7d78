import type { IncomingMessage } from 'node:http'
import { AppError, AuthError } from '../kernel/errors.ts'
import type { Registry } from '../registry/registry.ts'
import type { RevocationGuard } from '../revocations/revocation-guard.ts'
import type { AccessToken } from '../tokens/access-token.ts'
import type { TokenVerifier } from '../tokens/verify.ts'

export type AdminAuthenticator = (req: IncomingMessage) => Promise<AccessToken>

const BEARER = /^Bearer +([A-Za-z0-9._~+/-]+=*)$/i

/**
 * Who calls, by a bearer admin token (RFC 6750 §2.1) that is verified locally. AuthError when there is none or it is not
 * good, revoked, or when its client, user or tenant may have no tokens any more.
 */
export function createAdminAuthenticator(
  verify: TokenVerifier,
  { clients, users }: Pick<Registry, 'clients' | 'users'>,
  { requireNotRevoked }: Pick<RevocationGuard, 'requireNotRevoked'>,
): AdminAuthenticator {
  return async function authenticateAdmin(req) {
    const caller = await verify(bearerTokenOf(req))
    requireNotRevoked(caller)
    const issuable = await clients.findIssuable(caller.clientId)
    if (issuable === undefined) throw notActive('client')
    const byClient = withScopesOf(caller, issuable.client.scope)
    // For a client that speaks for itself the two are the same (RFC 9068 §2.2).
    if (caller.subject === caller.clientId) return byClient
    const user = await users.findIssuable(caller.subject)
    if (user === undefined) throw notActive('user')
    return withScopesOf(byClient, user.scope)
  }
}

/** A token says what its holder could do when it was issued; what was taken away since then is gone at once. */
function withScopesOf(caller: AccessToken, scope: string): AccessToken {
  const now = new Set(scope.split(' '))
  return { ...caller, scopes: new Set([...caller.scopes].filter((each) => now.has(each))) }
}

function notActive(who: 'client' | 'user'): AuthError {
  return new AuthError('invalid_token', `The ${who} of the token is not active.`, {
    reason: `${who}_not_active`,
  })
}

function bearerTokenOf(req: IncomingMessage): string {
  const [authorization, ...more] = req.headersDistinct['authorization'] ?? []
  if (more.length > 0) throw new AppError('malformed_request', 'Two Authorization headers.')
  const token = BEARER.exec(authorization ?? '')?.[1]
  if (token !== undefined) return token
  if (/^bearer\b/i.test(authorization ?? '')) {
    throw new AuthError('invalid_token', 'The Authorization header is malformed.', {
      reason: 'malformed_authorization',
    })
  }
  throw new AuthError('authentication_required', 'Send an admin token: Authorization: Bearer …', {
    reason: 'no_credentials',
  })
}

/** The `WWW-Authenticate` value of a 401 or 403 (RFC 6750 §3, RFC 9728 §5.1). */
export function adminChallenge(error: AuthError, metadataUrl: string): string {
  const parameters = [`resource_metadata="${metadataUrl}"`]
  if (error.code !== 'authentication_required') {
    parameters.push(`error="${error.code}"`, `error_description="${error.message}"`)
  }
  if (error.requiredScope !== undefined) parameters.push(`scope="${error.requiredScope}"`)
  return `Bearer ${parameters.join(', ')}`
}
