import { AuthError } from '../kernel/errors.ts'
import type { Confirmation } from './claims.ts'
import type { PresentedToken } from './authorization.ts'
import type { DpopVerifier, GoodProof } from './dpop-proof.ts'

/** A token as it came, and what came with it to show who sends it. */
export type Presentation = PresentedToken & {
  proof: string | undefined
  method: string
  uri: string
  /** The `x5t#S256` of the certificate that the caller's TLS session has proven, if any. */
  certificateThumbprint: () => string | undefined
}

/**
 * Requires that a token comes from whom it was issued to: with a proof of its key (RFC 9449 §7.1), in a TLS session with
 * its certificate (RFC 8705 §3), or, unbound, as a plain bearer token. Gives the proof, if there is one: it counts once, and remains to be used up.
 */
export type SenderCheck = (
  confirmation: Confirmation | undefined,
  presentation: Presentation,
) => Promise<GoodProof | undefined>

export function createSenderCheck(verifyProof: DpopVerifier): SenderCheck {
  return async function requireRightSender(confirmation, presentation) {
    const { scheme, certificateThumbprint } = presentation
    if (scheme === 'Bearer') {
      requireBearerSender(confirmation, certificateThumbprint)
      return undefined
    }
    if (confirmation?.jkt === undefined) {
      throw refusal('The token is not bound to a key: send it as Bearer.', 'unbound_as_dpop')
    }
    requireCertificate(confirmation, certificateThumbprint)
    return verifyProof({ ...presentation, boundTo: confirmation.jkt })
  }
}

/** The same for a token that came by the scheme Bearer. */
export function requireBearerSender(
  confirmation: Confirmation | undefined,
  certificateThumbprint: () => string | undefined,
): void {
  if (confirmation === undefined) return
  if (confirmation.jkt !== undefined) {
    throw refusal('The token is bound to a key: send it with a DPoP proof.', 'bound_as_bearer')
  }
  if (confirmation['x5t#S256'] === undefined) {
    throw refusal('The token is bound in a way that is not known here.', 'unknown_confirmation')
  }
  requireCertificate(confirmation, certificateThumbprint)
}

/** RFC 8705 §3 */
function requireCertificate(
  { 'x5t#S256': expected }: Confirmation,
  certificateThumbprint: () => string | undefined,
): void {
  if (expected === undefined || certificateThumbprint() === expected) return
  throw refusal('The token is bound to another client certificate.', 'other_certificate')
}

const refusal = (detail: string, reason: string): AuthError =>
  new AuthError('invalid_token', detail, { reason })
