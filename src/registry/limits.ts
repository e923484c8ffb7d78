import { z } from 'zod'

const count = z.int('must be a whole number').positive('must be above 0')

/** What one caller may use: requests per minute, concurrent requests, requests and model tokens per UTC day. */
export const limitSetSchema = z.strictObject({
  rpm: count.optional(),
  concurrency: count.optional(),
  daily_requests: count.optional(),
  daily_tokens: count.optional(),
})

/**
 * The limits of a tenant: for itself as a whole, for each client and each subject that has none of its own, and its
 * share of the queue. The shape is that of the token's `limits` claim.
 */
export const tenantLimitsSchema = z.strictObject({
  subject: limitSetSchema.optional(),
  client: limitSetSchema.optional(),
  tenant: limitSetSchema.optional(),
  weight: z.number().positive().max(1000).optional(),
})
export type TenantLimits = z.infer<typeof tenantLimitsSchema>
