import { createHash, randomBytes } from 'node:crypto'
import { z } from 'zod'
import { displayNameSchema, epochSecondsSchema } from './identifier.ts'

const SECRET_BYTES = 32
const HINT_BYTES = 2

/** What may be asked for when a client gets another secret. */
export const newSecretSchema = z.strictObject({
  label: displayNameSchema.optional(),
  expires_at: epochSecondsSchema.optional().describe('seconds since the epoch; default: never'),
})
export type NewSecret = z.output<typeof newSecretSchema>

/** A secret as it is kept: an argon2id hash in PHC format, and the hint that says which hash is worth trying. */
export const secretRecordSchema = newSecretSchema.extend({
  secret_id: z.uuid(),
  created_at: epochSecondsSchema,
  hash: z.string().startsWith('$argon2id$'),
  hint: z.string(),
})
export type SecretRecord = z.infer<typeof secretRecordSchema>

/** A secret as the admin API shows it. `last_used_at` may be a minute late. */
export const secretSchema = secretRecordSchema
  .omit({ hash: true, hint: true })
  .extend({ last_used_at: epochSecondsSchema.optional() })
export type ClientSecret = z.infer<typeof secretSchema>

/** 256 random bits as base64url, which every client library can put into Basic credentials unharmed. */
export function generateClientSecret(): string {
  return randomBytes(SECRET_BYTES).toString('base64url')
}

/**
 * 16 bits of the secret's digest. However many secrets a client has, one hash is tried; of the 256 random bits that a
 * thief of the store must guess, 240 remain.
 */
export function hintOf(secret: string): string {
  return createHash('sha256').update(secret).digest().subarray(0, HINT_BYTES).toString('base64url')
}

/** Whether the secret counts at that time (seconds since the epoch). */
export function isLive({ expires_at }: SecretRecord, now: number): boolean {
  return expires_at === undefined || now < expires_at
}
