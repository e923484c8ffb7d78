import type { IncomingMessage } from 'node:http'
import { AppError, AuthError } from '../kernel/errors.ts'

/** RFC 6750 §2.1; the scheme's case does not matter (RFC 9110 §11.1). */
const BEARER = /^bearer +([A-Za-z0-9._~+/-]+=*)$/i

/** The bearer token of the Authorization header, and of nowhere else; AuthError when there is none or it is malformed. */
export function bearerTokenOf(req: IncomingMessage): string {
  const [authorization = '', ...more] = req.headersDistinct['authorization'] ?? []
  if (more.length > 0) throw new AppError('malformed_request', 'Two Authorization headers.')
  const token = BEARER.exec(authorization)?.[1]
  if (token !== undefined) return token
  if (/^bearer\b/i.test(authorization)) {
    throw new AuthError('invalid_token', 'The Authorization header is malformed.', {
      reason: 'malformed_authorization',
    })
  }
  throw new AuthError('authentication_required', 'Send an access token: Authorization: Bearer …', {
    reason: 'no_credentials',
  })
}

/** The `WWW-Authenticate` value of a 401 or 403 (RFC 6750 §3, RFC 9728 §5.1): no error code when no credentials came. */
export function bearerChallenge(error: AuthError, resourceMetadataUrl?: string): string {
  const parameters: string[] = []
  if (resourceMetadataUrl !== undefined) {
    parameters.push(`resource_metadata="${resourceMetadataUrl}"`)
  }
  if (error.code !== 'authentication_required') {
    parameters.push(`error="${error.code}"`, `error_description="${error.message}"`)
  }
  if (error.requiredScope !== undefined) parameters.push(`scope="${error.requiredScope}"`)
  return ['Bearer', parameters.join(', ')].join(' ').trim()
}
