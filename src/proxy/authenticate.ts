import type { AccessToken } from '../tokens/access-token.ts'
import { parseAuthorization } from '../tokens/authorization.ts'
import type { KeySource } from '../tokens/remote-jwks.ts'
import type { Presentation, SenderCheck } from '../tokens/sender.ts'
import type { VerifiedTokenCache } from '../tokens/verified-token-cache.ts'
import type { TokenVerifier } from '../tokens/verify.ts'
import { identityHeaders } from './identity-headers.ts'

/** A caller whose token is good, with the headers that tell the model server who it is. */
export type Caller = { token: AccessToken; identityHeaders: readonly string[] }

/** What a request shows of its sender, from which everything about the caller is found out. */
export type Credentials = Omit<Presentation, 'scheme' | 'accessToken'> & {
  authorization: string | undefined
}

/** `dpopNonce` is what to answer with in `DPoP-Nonce` (RFC 9449 §9). */
export type Authenticated = { caller: Caller; dpopNonce?: string | undefined }

export type Authenticator = (credentials: Credentials) => Authenticated | Promise<Authenticated>

export type AuthenticatorOptions = {
  /** Leaves it to us to require the sender of a bound token. */
  verify: TokenVerifier
  requireRightSender: SenderCheck
  keys: KeySource
  verified: VerifiedTokenCache<Caller>
}

/**
 * Finds out who calls. An AuthError when there are no credentials or they are not good. A bearer token that was verified
 * before and whose key is still published costs one hash; of a bound one, the sender is required each time.
 */
export function createAuthenticator(options: AuthenticatorOptions): Authenticator {
  const { verify, requireRightSender, keys, verified } = options

  async function verifyAndRemember(rawToken: string): Promise<Caller> {
    const token = await verify(rawToken)
    const caller = { token, identityHeaders: identityHeaders(token) }
    verified.set(rawToken, caller)
    return caller
  }

  async function authenticateSender(
    known: Caller | undefined,
    presentation: Presentation,
  ): Promise<Authenticated> {
    const caller = known ?? (await verifyAndRemember(presentation.accessToken))
    return {
      caller,
      dpopNonce: await requireRightSender(caller.token.confirmation, presentation),
    }
  }

  return function authenticate(credentials) {
    const { scheme, accessToken } = parseAuthorization(credentials.authorization)
    const remembered = verified.get(accessToken)
    const known =
      remembered !== undefined && keys.find(remembered.token.kid) !== undefined
        ? remembered
        : undefined
    if (known !== undefined && scheme === 'Bearer' && known.token.confirmation === undefined) {
      return { caller: known }
    }
    return authenticateSender(known, { ...credentials, scheme, accessToken })
  }
}
