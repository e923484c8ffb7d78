import type { AuthError } from '../kernel/errors.ts'
import { DPOP_ALGORITHMS } from './dpop-proof.ts'

/**
 * The `WWW-Authenticate` values of a 401 or 403 (RFC 6750 §3, RFC 9449 §7.1, RFC 9728 §5.1): for both schemes, with the
 * address of the resource metadata where there is one. The error stands with the scheme that was tried; without
 * credentials there is none.
 */
export function challengesOf(
  error: AuthError,
  authorization: string | undefined,
  resourceMetadataUrl?: string,
): string[] {
  const metadata = metadataOf(resourceMetadataUrl)
  const isDpop = /^dpop\b/i.test(authorization ?? '')
  const dpop = [`algs="${DPOP_ALGORITHMS.join(' ')}"`, ...metadata]
  return [
    challenge('Bearer', [...metadata, ...(isDpop ? [] : problemOf(error))]),
    challenge('DPoP', [...dpop, ...(isDpop ? problemOf(error) : [])]),
  ]
}

/** The same where only bearer tokens are taken. */
export function bearerChallenge(error: AuthError, resourceMetadataUrl: string): string {
  return challenge('Bearer', [...metadataOf(resourceMetadataUrl), ...problemOf(error)])
}

const metadataOf = (url: string | undefined): string[] =>
  url === undefined ? [] : [`resource_metadata="${url}"`]

const challenge = (scheme: string, parameters: readonly string[]): string =>
  `${scheme} ${parameters.join(', ')}`.trim()

function problemOf({ code, message, requiredScope }: AuthError): string[] {
  return [
    ...(code === 'authentication_required'
      ? []
      : [`error="${code}"`, `error_description="${message}"`]),
    ...(requiredScope === undefined ? [] : [`scope="${requiredScope}"`]),
  ]
}
