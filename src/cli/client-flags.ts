import type { Command } from 'commander'
import { z } from 'zod'
import { parseGrants, parseLimits, present, readJsonFile } from './flag-values.ts'

const optionsSchema = z.object({
  name: z.string().optional(),
  scope: z.string().optional(),
  grant: z.string().optional(),
  authMethod: z.string().optional(),
  redirectUri: z.array(z.string()).optional(),
  jwks: z.string().optional(),
  jwksUri: z.string().optional(),
  tlsSubjectDn: z.string().optional(),
  dpop: z.boolean().optional(),
  certificateBound: z.boolean().optional(),
  limits: z.string().optional(),
  refresh: z.boolean().optional(),
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
      'client_secret_basic (default), client_secret_post, private_key_jwt, tls_client_auth, ' +
        'self_signed_tls_client_auth, none',
    )
    .option('--redirect-uri <url>', 'where a sign-in may end; repeatable', collect)
    .option('--jwks <file>', 'its public keys (RFC 7517)')
    .option('--jwks-uri <url>', 'where its public keys are read from')
    .option('--tls-subject-dn <dn>', 'the name in its certificate: CN=robot,O=Example (RFC 4514)')
    .option('--dpop', 'give it DPoP-bound tokens alone')
    .option('--certificate-bound', 'give it tokens bound to its TLS certificate alone')
    .option('--limits <limits>', 'of the client as a whole: rpm=60,concurrency=4,… or none')
    .option('--refresh', 'refresh tokens with client credentials')
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
    jwks: options.jwks === undefined ? undefined : await readJsonFile(options.jwks),
    jwks_uri: options.jwksUri,
    tls_client_auth_subject_dn: options.tlsSubjectDn,
    dpop_bound_access_tokens: options.dpop,
    tls_client_certificate_bound_access_tokens: options.certificateBound,
    limits: options.limits === undefined ? undefined : parseLimits(options.limits),
    client_credentials_refresh: options.refresh,
  })
}

const collect = (value: string, earlier: string[] = []): string[] => [...earlier, value]
