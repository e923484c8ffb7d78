import type { IncomingMessage } from 'node:http'
import type { BlockList } from 'node:net'
import { clientThumbprintOf } from '../kernel/client-certificate.ts'
import { AuthError } from '../kernel/errors.ts'
import type { Registry } from '../registry/registry.ts'
import type { RevocationGuard } from '../revocations/revocation-guard.ts'
import type { AccessToken } from '../tokens/access-token.ts'
import { bearerTokenOf } from '../tokens/authorization.ts'
import { requireBearerSender } from '../tokens/sender.ts'
import type { TokenVerifier } from '../tokens/verify.ts'

export type AdminAuthenticator = (req: IncomingMessage) => Promise<AccessToken>

export type AdminAuthenticatorOptions = Pick<Registry, 'clients' | 'users'> &
  Pick<RevocationGuard, 'requireNotRevoked'> & {
    /** Leaves it to us to require the sender of a bound token. */
    verify: TokenVerifier
    /** The TLS terminators, which say in `Client-Cert` whose certificate they have seen. */
    trustedProxies: BlockList
  }

/**
 * Who calls, by a bearer admin token (RFC 6750 §2.1) that is verified locally. AuthError when there is none or it is not
 * good, revoked, bound to somebody else, or when its client, user or tenant may have no tokens any more.
 */
export function createAdminAuthenticator(options: AdminAuthenticatorOptions): AdminAuthenticator {
  const { verify, clients, users, requireNotRevoked, trustedProxies } = options
  return async function authenticateAdmin(req) {
    const caller = await verify(bearerTokenOf(req))
    requireBearerSender(caller.confirmation, () => clientThumbprintOf(req, trustedProxies))
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
  return { ...caller, scopes: caller.scopes.filter((each) => now.has(each)) }
}

function notActive(who: 'client' | 'user'): AuthError {
  return new AuthError('invalid_token', `The ${who} of the token is not active.`, {
    reason: `${who}_not_active`,
  })
}
