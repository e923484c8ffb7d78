import { z } from 'zod'

/** RFC 6749 §2.2 lets a server choose; these need no escaping in URLs, Basic credentials or file names. */
export const clientIdSchema = z
  .string()
  .regex(/^[A-Za-z0-9._~-]{1,128}$/, 'must be 1 to 128 of A-Z a-z 0-9 . _ ~ -')

const limit = z.int('must be a whole number').positive('must be above 0').optional()
const limitSetSchema = z.strictObject({
  rpm: limit,
  concurrency: limit,
  daily_requests: limit,
  daily_tokens: limit,
})

/** What may be asked for when a client is made; the names are those of RFC 7591 §2. */
export const newClientSchema = z.strictObject({
  client_id: clientIdSchema.optional(),
  tenant_id: clientIdSchema.default('default'),
  name: z.string().max(200).default(''),
  scope: z
    .string()
    .regex(/^[\x21\x23-\x5B\x5D-\x7E]+( [\x21\x23-\x5B\x5D-\x7E]+)*$/)
    .default('ocr_api_access'),
  grant_types: z
    .array(z.literal('client_credentials', 'only client_credentials is offered in this version'))
    .min(1)
    .default(['client_credentials']),
  token_endpoint_auth_method: z
    .enum(
      ['client_secret_basic', 'client_secret_post'],
      'must be client_secret_basic or client_secret_post',
    )
    .default('client_secret_basic'),
  limits: limitSetSchema.optional(),
})
export type NewClient = z.input<typeof newClientSchema>

/** A client as it is kept. `created_at` is in seconds since the epoch. */
export const clientRecordSchema = newClientSchema.required({ client_id: true }).extend({
  created_at: z.int(),
  secrets: z.array(
    z.strictObject({
      id: z.string(),
      hash: z.string().startsWith('$argon2id$'),
      created_at: z.int(),
    }),
  ),
})
export type ClientRecord = z.infer<typeof clientRecordSchema>

/** A client as others may see it: without its secrets' hashes. */
export type ClientView = Omit<ClientRecord, 'secrets'>

export function viewClient({ secrets: _hidden, ...view }: ClientRecord): ClientView {
  return view
}
