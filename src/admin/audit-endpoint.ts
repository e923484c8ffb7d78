import { z } from 'zod'
import { auditRecordSchema } from '../audit/record.ts'
import type { AuditArchive } from '../audit/search.ts'
import { AppError } from '../kernel/errors.ts'
import { defineEndpoint, type Endpoint } from './endpoint.ts'
import { pageOf, pageQuery } from './listing.ts'

const time = z.iso.datetime({ offset: true, error: 'must be an RFC 3339 time' }).optional()
const word = z.string().min(1).max(300).optional()

const querySchema = z.strictObject({
  ...pageQuery,
  cursor: z.string().min(1).max(20_000).optional().describe('next_cursor of the page before'),
  tenant_id: word,
  client_id: word,
  sub: word,
  jti: word.describe('of a token; also finds its revocation by an operator'),
  decision: z.enum(['allow', 'deny']).optional(),
  reason: word,
  event: word,
  from: time,
  to: time.describe('not included'),
  tail: z.literal('true').optional().describe('the last ones, by time'),
  follow: z.literal('true').optional().describe('next_cursor also at the end, for what comes'),
})

/** `archive` is undefined where the trail goes somewhere else. */
export function auditEndpoint({ archive }: { archive: AuditArchive | undefined }): Endpoint {
  return defineEndpoint({
    method: 'GET',
    path: '/admin/v1/audit',
    operation: 'admin.audit.list',
    summary: 'Search the audit trail: day by day, and within a day writer by writer',
    scope: 'admin:read',
    takes: { query: querySchema },
    answers: { status: 200, body: pageOf(auditRecordSchema) },
    async run({ query: { limit, cursor, from, to, tail, follow, ...members } }) {
      if (archive === undefined) {
        throw new AppError('not_found', 'The trail goes to standard output: search it there.')
      }
      const filter = { ...members, fromMs: toMs(from), toMs: toMs(to) }
      const { records, next } =
        tail === undefined
          ? await archive.search(filter, { limit, cursor, follows: follow !== undefined })
          : await archive.tail(filter, limit)
      return {
        status: 200,
        body: { items: records, ...(next !== undefined && { next_cursor: next }) },
      }
    },
  })
}

const toMs = (time: string | undefined) => (time === undefined ? undefined : Date.parse(time))
