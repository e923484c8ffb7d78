import type { AccessToken } from '../tokens/access-token.ts'
import { parseAuthorization } from '../tokens/authorization.ts'
import type { GoodProof } from '../tokens/dpop-proof.ts'
import type { KeySource } from '../tokens/remote-jwks.ts'
import type { Presentation, SenderCheck } from '../tokens/sender.ts'
import type { VerifiedTokenCache } from '../tokens/verified-token-cache.ts'
import type { TokenVerifier } from '../tokens/verify.ts'
import { identityLines } from './identity-headers.ts'

/** A caller whose token is good, with the header lines that tell the model server who it is. */
export type Caller = { token: AccessToken; identityLines: string }

/** What a request shows of its sender, from which everything about the caller is found out. */
export type Credentials = Omit<Presentation, 'scheme' | 'accessToken'> & {
  authorization: string | undefined
}

/** With a proof the caller is let in once: whoever does so has to see to it. */
export type Authenticated = { caller: Caller; proof?: GoodProof | undefined }

export type Authenticator = (credentials: Credentials) => Authenticated | Promise<Authenticated>

export type AuthenticatorOptions = {
  /** Leaves it to us to require the sender of a bound token. */
  verify: TokenVerifier
  requireRightSender: SenderCheck
  keys: KeySource
  verified: VerifiedTokenCache<Caller>
}

/** Only so spelt it is remembered: one token takes few entries. */
const isUsual = (authorization: string): boolean =>
  /^(?:[Bb]earer|DPoP|dpop) [^ ]/.test(authorization)

/** Of what was well-formed before. */
const isBearer = (authorization: string): boolean => /^bearer /i.test(authorization)

/**
 * Finds out who calls. An AuthError when there are no credentials or they are not good. A bearer token that was verified
 * before and whose key is still published costs one hash; of a bound one, the sender is required each time.
 */
export function createAuthenticator(options: AuthenticatorOptions): Authenticator {
  const { verify, requireRightSender, keys, verified } = options

  function callerBefore(authorization: string): Caller | undefined {
    if (!isUsual(authorization)) return undefined
    const caller = verified.get(authorization)
    return caller !== undefined && keys.find(caller.token.kid) !== undefined ? caller : undefined
  }

  async function verifyAndRemember(authorization: string, rawToken: string): Promise<Caller> {
    const token = await verify(rawToken)
    const caller = { token, identityLines: identityLines(token) }
    if (isUsual(authorization)) verified.set(authorization, caller)
    return caller
  }

  async function authenticateSender(
    known: Caller | undefined,
    credentials: Credentials,
  ): Promise<Authenticated> {
    const { authorization = '' } = credentials
    const presented = parseAuthorization(credentials.authorization)
    const caller = known ?? (await verifyAndRemember(authorization, presented.accessToken))
    const presentation = { ...credentials, ...presented }
    return { caller, proof: await requireRightSender(caller.token.confirmation, presentation) }
  }

  return function authenticate(credentials) {
    const { authorization = '' } = credentials
    const known = callerBefore(authorization)
    if (known !== undefined && known.token.confirmation === undefined && isBearer(authorization)) {
      return { caller: known }
    }
    return authenticateSender(known, credentials)
  }
}
