import { z } from 'zod'
import { revocationSchema } from '../revocations/revocation.ts'
import { clientRecordSchema } from './client.ts'
import { epochSecondsSchema, identifierSchema } from './identifier.ts'
import { tenantRecordSchema } from './tenant.ts'
import { userRecordSchema } from './user.ts'

/**
 * One thing that a backup holds. What only lists others (the clients of a tenant, the name of a user) is not in it: it is
 * made anew together with whom it lists, so that the one is never there without the other. Secrets and passwords are in
 * it as their hashes.
 */
export const backupEntrySchema = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('client'), record: clientRecordSchema }),
  z.strictObject({ kind: z.literal('user'), record: userRecordSchema }),
  z.strictObject({ kind: z.literal('tenant'), record: tenantRecordSchema }),
  z.strictObject({
    kind: z.literal('gone'),
    of: z.enum(['tenant', 'client']),
    id: identifierSchema,
    deleted_at: epochSecondsSchema,
  }),
  z.strictObject({
    kind: z.literal('used'),
    client_id: identifierSchema,
    secret_id: z.uuid(),
    last_used_at: epochSecondsSchema,
  }),
  z.strictObject({ kind: z.literal('revocation'), record: revocationSchema }),
])
export type BackupEntry = z.infer<typeof backupEntrySchema>
