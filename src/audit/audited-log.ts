import type { Log, LogFields } from '../kernel/log.ts'
import { auditFactsSchema } from './record.ts'
import type { AuditTrail } from './trail.ts'

/** Reads that show so much that they are on record like changes. */
const NOTED_READS = new Set(['admin.backup.show'])

/**
 * A log of which each line that says an audited event is also in the trail, with the members that records have: what is
 * decided is said in one place. Of what operators do, only what they change.
 */
export function createAuditedLog(log: Log, { record }: Pick<AuditTrail, 'record'>): Log {
  const recordAudited = (fields: LogFields) => {
    const { event = '', method } = fields
    if (method === 'GET' && !NOTED_READS.has(String(event))) return
    const facts = auditFactsSchema.safeParse(fields)
    if (facts.success) record(facts.data)
  }
  const alsoRecorded =
    (write: Log['info']): Log['info'] =>
    (fields, message) => {
      write(fields, message)
      recordAudited(fields)
    }
  return { ...log, info: alsoRecorded(log.info), error: alsoRecorded(log.error) }
}
