import type { IncomingMessage } from 'node:http'
import type { BlockList } from 'node:net'
import { clientThumbprintOf } from '../kernel/client-certificate.ts'
import { AuthError } from '../kernel/errors.ts'
import type { RevocationGuard } from '../revocations/revocation-guard.ts'
import type { AccessToken } from '../tokens/access-token.ts'
import { presentedTokenOf } from '../tokens/authorization.ts'
import type { SenderCheck } from '../tokens/sender.ts'
import type { TokenVerifier } from '../tokens/verify.ts'

export type TokenAuthenticator = (req: IncomingMessage, scope: string) => Promise<AccessToken>

/** Uses up the proof, too. */
export type SenderRequirement = (...of: Parameters<SenderCheck>) => Promise<void>

export type TokenAuthenticatorOptions = Pick<RevocationGuard, 'requireNotRevoked'> & {
  issuer: string
  /** Leaves it to us to require the sender of a bound token. */
  verify: TokenVerifier
  requireRightSender: SenderRequirement
  /** The TLS terminators, which say in `Client-Cert` whose certificate they have seen. */
  trustedProxies: BlockList
}

/**
 * Who calls one of the issuer's own resources, by a token with that scope, sent by whom it was issued to. AuthError when
 * there is none, it is not good, revoked, somebody else's, or lacks the scope; AppError `temporarily_unavailable` when
 * that cannot be known.
 */
export function createTokenAuthenticator(options: TokenAuthenticatorOptions): TokenAuthenticator {
  const { issuer, verify, requireNotRevoked, requireRightSender, trustedProxies } = options
  return async function authenticateToken(req, scope) {
    const presented = presentedTokenOf(req)
    const token = await verify(presented.accessToken)
    requireNotRevoked(token)
    const { method = '', url = '' } = req
    await requireRightSender(token.confirmation, {
      ...presented,
      proof: req.headersDistinct['dpop']?.join(', '),
      method,
      uri: `${issuer}${url.split('?', 1)[0]}`,
      certificateThumbprint: () => clientThumbprintOf(req, trustedProxies),
    })
    if (token.scopes.includes(scope)) return token
    throw new AuthError('insufficient_scope', `This needs the scope ${scope}.`, {
      requiredScope: scope,
    })
  }
}
