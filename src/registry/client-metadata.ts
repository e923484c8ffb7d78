import { z } from 'zod'
import { publicJwksSchema } from './client-keys.ts'
import { displayNameSchema, scopeSchema } from './identifier.ts'
import { limitSetSchema } from './limits.ts'

export const DEVICE_CODE_GRANT = 'urn:ietf:params:oauth:grant-type:device_code'

export const grantTypeSchema = z.enum([
  'client_credentials',
  'authorization_code',
  'refresh_token',
  DEVICE_CODE_GRANT,
])

export const clientAuthMethodSchema = z.enum([
  'client_secret_basic',
  'client_secret_post',
  'private_key_jwt',
  'tls_client_auth',
  'self_signed_tls_client_auth',
  'none',
])
export type ClientAuthMethod = z.infer<typeof clientAuthMethodSchema>

const uri = (what: string) => z.string().max(2000).refine(isSafeUrl, what)
const MUST_BE_HTTPS = 'must be an https URL without a fragment, or http on loopback'
const resource = z
  .url({ error: 'must be an absolute URI' })
  .max(2000)
  .refine((text) => !text.includes('#'), 'has a fragment')
const subject = z.string().min(1).max(1000)

/**
 * The members of a client, by the names of RFC 7591 §2, RFC 8705 §2 and RFC 9449 §5.2, without their defaults.
 * `resources` are those that it may ask for (RFC 8707), by default all; `limits` hold for the client as a whole and
 * `subject_limits` for each of its subjects, instead of what the tenant says.
 */
export const clientMembers = {
  name: displayNameSchema,
  scope: scopeSchema,
  grant_types: z.array(grantTypeSchema).min(1).max(10),
  token_endpoint_auth_method: clientAuthMethodSchema,
  redirect_uris: z.array(uri(MUST_BE_HTTPS)).max(50),
  post_logout_redirect_uris: z.array(uri(MUST_BE_HTTPS)).max(50),
  require_pushed_authorization_requests: z.boolean(),
  dpop_bound_access_tokens: z.boolean(),
  tls_client_certificate_bound_access_tokens: z.boolean(),
  client_credentials_refresh: z.boolean(),
}

/** Those that a client need not have. */
export const optionalClientMembers = {
  jwks: publicJwksSchema,
  jwks_uri: uri(MUST_BE_HTTPS),
  tls_client_auth_subject_dn: subject,
  tls_client_auth_san_dns: subject,
  tls_client_auth_san_uri: subject,
  tls_client_auth_san_ip: subject,
  tls_client_auth_san_email: subject,
  resources: z.array(resource).min(1).max(50),
  limits: limitSetSchema,
  subject_limits: limitSetSchema,
}

/** RFC 9700 §2.1: what travels over such a URL must not be readable on the way. */
function isSafeUrl(text: string): boolean {
  const url = URL.parse(text)
  if (url === null || text.includes('#') || url.username !== '' || url.password !== '') return false
  if (url.protocol === 'https:') return true
  return url.protocol === 'http:' && /^(localhost|127(\.\d{1,3}){3}|\[::1\])$/.test(url.hostname)
}
