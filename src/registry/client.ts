import { z } from 'zod'
import { clientMembers, optionalClientMembers } from './client-metadata.ts'
import { findBrokenRules } from './client-rules.ts'
import { secretRecordSchema } from './client-secret.ts'
import { epochSecondsSchema, identifierSchema } from './identifier.ts'
import { DEFAULT_TENANT_ID } from './tenant.ts'

const optional = z.strictObject(optionalClientMembers).partial().shape
const settingsSchema = z.strictObject({ ...clientMembers, ...optional })

/** What an operator decides about a client. */
export type ClientSettings = z.infer<typeof settingsSchema>

/** What may be asked for when a client is made; the names are those of RFC 7591 §2. Everything has a default. */
export const newClientSchema = settingsSchema
  .extend({
    client_id: identifierSchema.optional().describe('default: a new UUID'),
    tenant_id: identifierSchema.default(DEFAULT_TENANT_ID),
    name: clientMembers.name.default(''),
    scope: clientMembers.scope.default('ocr_api_access'),
    grant_types: clientMembers.grant_types.default(['client_credentials']),
    token_endpoint_auth_method:
      clientMembers.token_endpoint_auth_method.default('client_secret_basic'),
    redirect_uris: clientMembers.redirect_uris.default([]),
    post_logout_redirect_uris: clientMembers.post_logout_redirect_uris.default([]),
    require_pushed_authorization_requests:
      clientMembers.require_pushed_authorization_requests.default(false),
    dpop_bound_access_tokens: clientMembers.dpop_bound_access_tokens.default(false),
    tls_client_certificate_bound_access_tokens:
      clientMembers.tls_client_certificate_bound_access_tokens.default(false),
    client_credentials_refresh: clientMembers.client_credentials_refresh.default(false),
  })
  .superRefine((client, context) => {
    for (const { member, problem } of findBrokenRules(client)) {
      context.addIssue({ code: 'custom', path: [member], message: problem })
    }
  })
export type NewClientRequest = z.input<typeof newClientSchema>
export type NewClient = z.output<typeof newClientSchema>

/**
 * What may change later: a member that is left out stays, null takes an optional one away (RFC 7396). The rules
 * between members are checked on the outcome, by the registry.
 */
export const clientUpdateSchema = z.strictObject({
  ...z.strictObject(clientMembers).partial().shape,
  jwks: optionalClientMembers.jwks.nullish(),
  jwks_uri: optionalClientMembers.jwks_uri.nullish(),
  tls_client_auth_subject_dn: optionalClientMembers.tls_client_auth_subject_dn.nullish(),
  tls_client_auth_san_dns: optionalClientMembers.tls_client_auth_san_dns.nullish(),
  tls_client_auth_san_uri: optionalClientMembers.tls_client_auth_san_uri.nullish(),
  tls_client_auth_san_ip: optionalClientMembers.tls_client_auth_san_ip.nullish(),
  tls_client_auth_san_email: optionalClientMembers.tls_client_auth_san_email.nullish(),
  resources: optionalClientMembers.resources.nullish(),
  limits: optionalClientMembers.limits.nullish(),
  subject_limits: optionalClientMembers.subject_limits.nullish(),
})
export type ClientUpdate = z.output<typeof clientUpdateSchema>

/** A client as it is kept, secrets included. Times are in seconds since the epoch. */
export const clientRecordSchema = settingsSchema.extend({
  client_id: identifierSchema,
  tenant_id: identifierSchema,
  status: z.enum(['active', 'disabled']),
  created_at: epochSecondsSchema,
  updated_at: epochSecondsSchema,
  secrets: z.array(secretRecordSchema),
})
export type ClientRecord = z.infer<typeof clientRecordSchema>

/** A client as the admin API shows it; `version` is what an ETag is made of. */
export const clientSchema = clientRecordSchema.omit({ secrets: true }).extend({
  version: z.string(),
})
export type Client = z.infer<typeof clientSchema>
