import type { Command } from 'commander'
import { z } from 'zod'
import { orNone, parseGrants, parseLimits, present, readJsonFile } from './flag-values.ts'

const list = z.array(z.string()).optional()
const text = z.string().optional()
const optionsSchema = z.object({
  name: text,
  scope: text,
  grant: text,
  authMethod: text,
  redirectUri: list,
  postLogoutRedirectUri: list,
  jwks: text,
  jwksUri: text,
  tlsSubjectDn: text,
  tlsSanDns: text,
  tlsSanUri: text,
  tlsSanIp: text,
  tlsSanEmail: text,
  resource: list,
  limits: text,
  subjectLimits: text,
  refresh: z.boolean().optional(),
  requirePar: z.boolean().optional(),
  dpop: z.boolean().optional(),
  certificateBound: z.boolean().optional(),
})

/** The flags for what an operator decides about a client. */
export function addClientFlags(command: Command): Command {
  return command
    .option('--name <name>', 'what people call it')
    .option('--scope <scopes>', 'scopes that it may ask for (default: ocr_api_access)')
    .option(
      '--grant <grants>',
      'client_credentials (default), authorization_code, refresh_token, device_code; with commas',
    )
    .option(
      '--auth-method <method>',
      'client_secret_basic (default), client_secret_post, private_key_jwt, tls_client_auth, self_signed_tls_client_auth, none',
    )
    .option('--redirect-uri <url>', 'where a sign-in may end; repeatable', collect)
    .option('--post-logout-redirect-uri <url>', 'where a sign-out may end; repeatable', collect)
    .option('--jwks <file>', 'its public keys (RFC 7517), or none')
    .option('--jwks-uri <url>', 'where it publishes them instead, or none')
    .option('--tls-subject-dn <dn>', 'whom its certificate names (tls_client_auth), or none')
    .option('--tls-san-dns <name>', 'the same by a DNS name')
    .option('--tls-san-uri <uri>', 'the same by a URI')
    .option('--tls-san-ip <address>', 'the same by an IP address')
    .option('--tls-san-email <address>', 'the same by an email address')
    .option('--resource <uri>', 'what it may get tokens for; repeatable; default: all', collect)
    .option('--limits <limits>', 'of the client as a whole: rpm=60,concurrency=4,… or none')
    .option('--subject-limits <limits>', 'of each of its subjects, in the same way')
    .option('--refresh', 'refresh tokens with client credentials')
    .option('--no-refresh', 'none of these')
    .option('--require-par', 'sign-ins only by pushed requests (RFC 9126)')
    .option('--no-require-par', 'sign-ins by other requests, too')
    .option('--dpop', 'tokens only bound to a DPoP key (RFC 9449)')
    .option('--no-dpop', 'tokens without one, too')
    .option('--certificate-bound', 'tokens bound to its TLS certificate (RFC 8705)')
    .option('--no-certificate-bound', 'tokens not bound to it')
}

/** What the flags ask for, as members of the admin API. */
export async function readClientFlags(command: Command): Promise<Record<string, unknown>> {
  const options = optionsSchema.parse(command.opts())
  return present({
    name: options.name,
    scope: options.scope,
    grant_types: options.grant === undefined ? undefined : parseGrants(options.grant),
    token_endpoint_auth_method: options.authMethod,
    redirect_uris: options.redirectUri,
    post_logout_redirect_uris: options.postLogoutRedirectUri,
    jwks: await readKeys(options.jwks),
    jwks_uri: orNone(options.jwksUri),
    tls_client_auth_subject_dn: orNone(options.tlsSubjectDn),
    tls_client_auth_san_dns: orNone(options.tlsSanDns),
    tls_client_auth_san_uri: orNone(options.tlsSanUri),
    tls_client_auth_san_ip: orNone(options.tlsSanIp),
    tls_client_auth_san_email: orNone(options.tlsSanEmail),
    resources: options.resource?.[0] === 'none' ? null : options.resource,
    limits: options.limits === undefined ? undefined : parseLimits(options.limits),
    subject_limits:
      options.subjectLimits === undefined ? undefined : parseLimits(options.subjectLimits),
    client_credentials_refresh: options.refresh,
    require_pushed_authorization_requests: options.requirePar,
    dpop_bound_access_tokens: options.dpop,
    tls_client_certificate_bound_access_tokens: options.certificateBound,
  })
}

const readKeys = async (file: string | undefined): Promise<unknown> =>
  file === undefined || file === 'none' ? orNone(file) : readJsonFile(file)

const collect = (value: string, earlier: string[] = []): string[] => [...earlier, value]
