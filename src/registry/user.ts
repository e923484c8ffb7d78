import { z } from 'zod'
import {
  displayNameSchema,
  epochSecondsSchema,
  identifierSchema,
  scopeSchema,
} from './identifier.ts'
import { limitSetSchema } from './limits.ts'
import { DEFAULT_TENANT_ID } from './tenant.ts'

/**
 * Compared without regard to case and width (RFC 8265 §3.3), and kept in that form: letters and digits of any script,
 * and `. _ @ + ~ -`.
 */
export const usernameSchema = z
  .string()
  .max(256)
  .transform((name) => name.normalize('NFKC').toLowerCase().normalize('NFC'))
  .pipe(
    z
      .string()
      .regex(
        /^[\p{L}\p{M}\p{N}._@+~-]{1,128}$/u,
        'must be 1 to 128 letters, digits or . _ @ + ~ -',
      ),
  )

/** NIST SP 800-63B §3.1.1: a length and nothing about what it is made of. */
export const passwordSchema = z
  .string()
  .min(8, 'must have at least 8 characters')
  .max(1024, 'must have at most 1024 characters')

/** The subject of a user's tokens, which never collides with a client id: those have no colon. */
export const userSubjectSchema = z.string().regex(/^user:[0-9a-f-]{36}$/, 'must be user:<uuid>')

/** What may be asked for when a user is made. */
export const newUserSchema = z.strictObject({
  username: usernameSchema,
  tenant_id: identifierSchema.default(DEFAULT_TENANT_ID),
  password: passwordSchema,
  name: displayNameSchema.default(''),
  scope: scopeSchema.default('ocr_api_access'),
  limits: limitSetSchema.optional(),
})
export type NewUserRequest = z.input<typeof newUserSchema>
export type NewUser = z.output<typeof newUserSchema>

/** What may change later: a member that is left out stays, null takes it away (RFC 7396). */
export const userUpdateSchema = z.strictObject({
  name: displayNameSchema.optional(),
  scope: scopeSchema.optional(),
  limits: limitSetSchema.nullable().optional(),
})
export type UserUpdate = z.output<typeof userUpdateSchema>

/** The body of a request to set a password. */
export const newPasswordSchema = z.strictObject({ password: passwordSchema })

/** A user as it is kept. Times are in seconds since the epoch; `scope` is all that the user may be granted. */
export const userRecordSchema = z.strictObject({
  sub: userSubjectSchema,
  username: z.string(),
  tenant_id: identifierSchema,
  name: displayNameSchema,
  scope: z.string(),
  limits: limitSetSchema.optional(),
  status: z.enum(['active', 'disabled']),
  created_at: epochSecondsSchema,
  updated_at: epochSecondsSchema,
  password_hash: z.string().startsWith('$argon2id$'),
})
export type UserRecord = z.infer<typeof userRecordSchema>

/** A user as the admin API shows it; `version` is what an ETag is made of. */
export const userSchema = userRecordSchema.omit({ password_hash: true }).extend({
  version: z.string(),
})
export type User = z.infer<typeof userSchema>
