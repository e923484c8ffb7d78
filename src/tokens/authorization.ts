import type { IncomingMessage } from 'node:http'
import { AppError, AuthError } from '../kernel/errors.ts'

/** An access token and the scheme that it was sent by. */
export type PresentedToken = { scheme: 'Bearer' | 'DPoP'; accessToken: string }

/** RFC 6750 §2.1, RFC 9449 §7.1; the scheme's case does not matter (RFC 9110 §11.1). */
const CREDENTIALS = /^(?:(bearer)|dpop) +([A-Za-z0-9._~+/-]+=*)$/i

/** Reads the one Authorization value. AuthError when there is none, it is of another scheme or malformed. */
export function parseAuthorization(authorization: string | undefined): PresentedToken {
  if (authorization === undefined) throw notAuthenticated('no_credentials')
  const [, bearer, accessToken] = CREDENTIALS.exec(authorization) ?? []
  if (accessToken !== undefined) {
    return { scheme: bearer === undefined ? 'DPoP' : 'Bearer', accessToken }
  }
  if (/^(?:bearer|dpop)\b/i.test(authorization)) {
    throw new AuthError('invalid_token', 'The Authorization header is malformed.', {
      reason: 'malformed_authorization',
    })
  }
  throw notAuthenticated('other_scheme')
}

/** The token of the Authorization header, and of nowhere else; AppError `malformed_request` when there are two. */
export function presentedTokenOf(req: IncomingMessage): PresentedToken {
  const [authorization, ...more] = req.headersDistinct['authorization'] ?? []
  if (more.length > 0) throw new AppError('malformed_request', 'Two Authorization headers.')
  return parseAuthorization(authorization)
}

/** The same where only bearer tokens are taken. */
export function bearerTokenOf(req: IncomingMessage): string {
  const { scheme, accessToken } = presentedTokenOf(req)
  if (scheme === 'Bearer') return accessToken
  throw notAuthenticated('other_scheme')
}

function notAuthenticated(reason: string): AuthError {
  return new AuthError('authentication_required', 'Send an access token: Authorization: Bearer …', {
    reason,
  })
}
