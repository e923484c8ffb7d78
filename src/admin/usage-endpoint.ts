import { z } from 'zod'
import { periodOf, reportUsage, type UsageSource } from '../audit/usage-report.ts'
import { keyOfRow, usageGroupSchema, usageRowSchema } from '../audit/usage-sums.ts'
import type { Clock } from '../kernel/clock.ts'
import { AppError } from '../kernel/errors.ts'
import { defineEndpoint, type Endpoint } from './endpoint.ts'
import { pageOf, pageQuery } from './listing.ts'

const day = z.iso.date('must be a date such as 2026-01-31').optional()
const word = z.string().min(1).max(300).optional()

const querySchema = z.strictObject({
  ...pageQuery,
  cursor: z.string().min(1).max(20_000).optional().describe('next_cursor of the page before'),
  by: usageGroupSchema.default('tenant'),
  from: day.describe('the first day (UTC); the first of that month without it'),
  to: day.describe('the last day (UTC), included; today without it'),
  tenant_id: word,
  client_id: word,
  sub: word,
})

export type UsageEndpointOptions = {
  /** Undefined where the trail goes somewhere else. */
  usageSource: UsageSource | undefined
  clock: Clock
}

export function usageEndpoint({ usageSource, clock }: UsageEndpointOptions): Endpoint {
  return defineEndpoint({
    method: 'GET',
    path: '/admin/v1/usage',
    operation: 'admin.usage.list',
    summary: 'What was taken, summed up from the audit trail',
    scope: 'admin:read',
    takes: { query: querySchema },
    answers: {
      status: 200,
      body: pageOf(usageRowSchema).extend({ from: z.string(), to: z.string() }),
    },
    async run({ query: { limit, cursor, from, to, ...wanted } }) {
      if (usageSource === undefined) {
        throw new AppError('not_found', 'The trail goes to standard output: sum it up there.')
      }
      const period = periodOf({ from, to }, clock())
      if (period.from > period.to) throw new AppError('malformed_request', 'from: is after to')
      const all = await reportUsage(usageSource, { ...wanted, ...period })
      const after = cursor === undefined ? '' : Buffer.from(cursor, 'base64url').toString()
      const rest = all.filter((row) => keyOfRow(row) > after)
      const items = rest.slice(0, limit)
      const last = rest.length > limit ? items.at(-1) : undefined
      const next = last && { next_cursor: Buffer.from(keyOfRow(last)).toString('base64url') }
      return { status: 200, body: { ...period, items, ...next } }
    },
  })
}
