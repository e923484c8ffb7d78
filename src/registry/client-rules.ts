import { canSignAssertion, CLIENT_ASSERTION_ALGORITHMS } from './client-keys.ts'
import { DEVICE_CODE_GRANT, type ClientAuthMethod } from './client-metadata.ts'
import type { ClientSettings } from './client.ts'

export type BrokenRule = { member: keyof ClientSettings; problem: string }

const TLS_SUBJECT_MEMBERS = [
  'tls_client_auth_subject_dn',
  'tls_client_auth_san_dns',
  'tls_client_auth_san_uri',
  'tls_client_auth_san_ip',
  'tls_client_auth_san_email',
] as const

export const usesSecret = (method: ClientAuthMethod): boolean =>
  method === 'client_secret_basic' || method === 'client_secret_post'

/** What no single member can know: every combination of them that no client may have. */
export function findBrokenRules(client: ClientSettings): BrokenRule[] {
  return [...brokenKeyRules(client), ...brokenGrantRules(client)]
}

function brokenKeyRules(client: ClientSettings): BrokenRule[] {
  const { jwks, jwks_uri, token_endpoint_auth_method: method } = client
  const needsKeys = method === 'private_key_jwt' || method === 'self_signed_tls_client_auth'
  const subjects = TLS_SUBJECT_MEMBERS.filter((member) => client[member] !== undefined)
  return brokenAmong([
    // RFC 7591 §2
    [jwks !== undefined && jwks_uri !== undefined, 'jwks_uri', 'excludes jwks'],
    [
      needsKeys && jwks === undefined && jwks_uri === undefined,
      'jwks',
      `${method} needs jwks or jwks_uri`,
    ],
    [
      method === 'private_key_jwt' && jwks !== undefined && !jwks.keys.some(canSignAssertion),
      'jwks',
      `needs a key for one of ${CLIENT_ASSERTION_ALGORITHMS.join(', ')}`,
    ],
    // RFC 8705 §2.2.2
    [
      method === 'self_signed_tls_client_auth' &&
        jwks !== undefined &&
        !jwks.keys.some(({ x5c }) => Array.isArray(x5c) && x5c.length > 0),
      'jwks',
      'needs a key with its certificate (x5c)',
    ],
    // RFC 8705 §2.1.2
    [
      method === 'tls_client_auth' && subjects.length !== 1,
      'tls_client_auth_subject_dn',
      'tls_client_auth needs exactly one of the tls_client_auth_ members',
    ],
    [
      method !== 'tls_client_auth' && subjects.length > 0,
      subjects[0] ?? 'tls_client_auth_subject_dn',
      `has no meaning with ${method}`,
    ],
  ])
}

function brokenGrantRules(client: ClientSettings): BrokenRule[] {
  const grants = new Set<string>(client.grant_types)
  const isPublic = client.token_endpoint_auth_method === 'none'
  const hasSignIn = grants.has('authorization_code') || grants.has(DEVICE_CODE_GRANT)
  return brokenAmong([
    // RFC 6749 §4.4
    [
      isPublic && grants.has('client_credentials'),
      'grant_types',
      'a client without credentials cannot use client_credentials',
    ],
    [
      grants.has('authorization_code') && client.redirect_uris.length === 0,
      'redirect_uris',
      'authorization_code needs at least one',
    ],
    [
      grants.has('refresh_token') && !hasSignIn,
      'grant_types',
      'refresh_token goes with authorization_code or device_code; see client_credentials_refresh',
    ],
    [
      client.client_credentials_refresh && !grants.has('client_credentials'),
      'client_credentials_refresh',
      'needs the grant client_credentials',
    ],
    [
      client.require_pushed_authorization_requests && !grants.has('authorization_code'),
      'require_pushed_authorization_requests',
      'needs the grant authorization_code',
    ],
  ])
}

type Rule = readonly [isBroken: boolean, member: keyof ClientSettings, problem: string]

const brokenAmong = (rules: readonly Rule[]): BrokenRule[] =>
  rules.filter(([isBroken]) => isBroken).map(([, member, problem]) => ({ member, problem }))
