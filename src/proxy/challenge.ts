import type { AuthError } from '../kernel/errors.ts'

/**
 * The `WWW-Authenticate` value of a 401 or 403 (RFC 6750 §3, RFC 9728 §5.1): without an error code when no credentials
 * came, always with the address of our resource metadata.
 */
export function bearerChallenge(error: AuthError, resourceMetadataUrl: string): string {
  const parameters = [`resource_metadata="${resourceMetadataUrl}"`]
  if (error.code !== 'authentication_required') {
    parameters.push(`error="${error.code}"`, `error_description="${error.message}"`)
  }
  if (error.requiredScope !== undefined) parameters.push(`scope="${error.requiredScope}"`)
  return `Bearer ${parameters.join(', ')}`
}
