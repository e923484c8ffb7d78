import { AuthError } from '../kernel/errors.ts'
import type { Confirmation } from './access-token.ts'
import type { DpopVerifier } from './dpop-proof.ts'

/** A token as it came, and what came with it to show who sends it. */
export type Presentation = {
  scheme: 'Bearer' | 'DPoP'
  accessToken: string
  proof: string | undefined
  method: string
  uri: string
  /** The `x5t#S256` of the certificate that the caller's TLS session has proven, if any. */
  certificateThumbprint: () => string | undefined
}

/**
 * Requires that a token comes from whom it was issued to: with a proof of its key (RFC 9449 §7.1), in a TLS session with
 * its certificate (RFC 8705 §3), or, unbound, as a plain bearer token. Gives the DPoP nonce to answer with, if any.
 */
export type SenderCheck = (
  confirmation: Confirmation | undefined,
  presentation: Presentation,
) => Promise<string | undefined>

export function createSenderCheck(verifyProof: DpopVerifier): SenderCheck {
  return async function requireRightSender(confirmation, presentation) {
    const { scheme, certificateThumbprint } = presentation
    const { jkt, 'x5t#S256': x5t } = confirmation ?? {}
    if (jkt === undefined && scheme === 'DPoP') {
      throw refusal('The token is not bound to a key: send it as Bearer.', 'unbound_as_dpop')
    }
    if (jkt !== undefined && scheme === 'Bearer') {
      throw refusal('The token is bound to a key: send it with a DPoP proof.', 'bound_as_bearer')
    }
    if (confirmation !== undefined && jkt === undefined && x5t === undefined) {
      throw refusal('The token is bound in a way that is not known here.', 'unknown_confirmation')
    }
    if (x5t !== undefined && certificateThumbprint() !== x5t) {
      throw refusal('The token is bound to another client certificate.', 'other_certificate')
    }
    return jkt === undefined ? undefined : verifyProof({ ...presentation, boundTo: jkt })
  }
}

const refusal = (detail: string, reason: string): AuthError =>
  new AuthError('invalid_token', detail, { reason })
