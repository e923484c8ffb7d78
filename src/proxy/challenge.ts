import type { AuthError } from '../kernel/errors.ts'
import { DPOP_ALGORITHMS } from '../tokens/dpop-proof.ts'

/**
 * The `WWW-Authenticate` values of a 401 or 403 (RFC 6750 §3, RFC 9449 §7.1, RFC 9728 §5.1): for both schemes, always with
 * the address of our resource metadata. The error stands with the scheme that was tried; without credentials there is none.
 */
export function challengesOf(
  error: AuthError,
  authorization: string | undefined,
  resourceMetadataUrl: string,
): string[] {
  const metadata = `resource_metadata="${resourceMetadataUrl}"`
  const problem = problemOf(error)
  const isDpop = /^dpop\b/i.test(authorization ?? '')
  const bearer = [metadata, ...(isDpop ? [] : problem)]
  const dpop = [`algs="${DPOP_ALGORITHMS.join(' ')}"`, metadata, ...(isDpop ? problem : [])]
  return [`Bearer ${bearer.join(', ')}`, `DPoP ${dpop.join(', ')}`]
}

function problemOf({ code, message, requiredScope }: AuthError): string[] {
  return [
    ...(code === 'authentication_required'
      ? []
      : [`error="${code}"`, `error_description="${message}"`]),
    ...(requiredScope === undefined ? [] : [`scope="${requiredScope}"`]),
  ]
}
