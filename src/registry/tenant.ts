import { z } from 'zod'
import { displayNameSchema, epochSecondsSchema, identifierSchema } from './identifier.ts'
import { tenantLimitsSchema } from './limits.ts'

/** The tenant of whoever names none. It is always there. */
export const DEFAULT_TENANT_ID = 'default'

/** What may be asked for when a tenant is made. */
export const newTenantSchema = z.strictObject({
  tenant_id: identifierSchema.optional().describe('default: a new UUID'),
  name: displayNameSchema.default(''),
  limits: tenantLimitsSchema.optional(),
})
export type NewTenantRequest = z.input<typeof newTenantSchema>
export type NewTenant = z.output<typeof newTenantSchema>

/** What may change later: a member that is left out stays, null takes it away (RFC 7396). */
export const tenantUpdateSchema = z.strictObject({
  name: displayNameSchema.optional(),
  limits: tenantLimitsSchema.nullable().optional(),
})
export type TenantUpdate = z.output<typeof tenantUpdateSchema>

/** A tenant as it is kept. Times are in seconds since the epoch. */
export const tenantRecordSchema = z.strictObject({
  tenant_id: identifierSchema,
  name: displayNameSchema,
  /** `deleting`: gone for everybody, while its clients and users are still being taken along. */
  status: z.enum(['active', 'suspended', 'deleting']),
  limits: tenantLimitsSchema.optional(),
  created_at: epochSecondsSchema,
  updated_at: epochSecondsSchema,
})
export type TenantRecord = z.infer<typeof tenantRecordSchema>

/** A tenant as the admin API shows it; `version` is what an ETag is made of. */
export const tenantSchema = tenantRecordSchema.extend({
  status: z.enum(['active', 'suspended']),
  version: z.string(),
})
export type Tenant = z.infer<typeof tenantSchema>
