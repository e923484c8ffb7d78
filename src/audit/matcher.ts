import { auditRecordSchema, type AuditRecord } from './record.ts'

/** What is searched for: every condition must hold. Times are in ms since the epoch, `from` included, `to` not. */
export type AuditFilter = {
  [name in 'tenant_id' | 'client_id' | 'sub' | 'jti' | 'decision' | 'reason' | 'event']?:
    | string
    | undefined
} & { fromMs?: number | undefined; toMs?: number | undefined }

/** Gives the record of a line that matches. A word that is not in the line need not be parsed for. */
export function createMatcher(filter: AuditFilter): (line: string) => AuditRecord | undefined {
  const { fromMs = 0, toMs = Number.POSITIVE_INFINITY, ...wanted } = filter
  const conditions = Object.entries(wanted).flatMap(([name, value]) =>
    value === undefined ? [] : [{ name, value, json: JSON.stringify(value) }],
  )
  return (line) => {
    if (conditions.some(({ json }) => !line.includes(json))) return undefined
    const record = parseRecord(line)
    if (record === undefined) return undefined
    const ms = Date.parse(record.time)
    const values = new Map<string, unknown>(Object.entries(record))
    const isWanted = conditions.every(
      ({ name, value }) =>
        values.get(name) === value ||
        // What an operator revoked is the target of the record.
        (name === 'jti' && record.target === value),
    )
    return isWanted && ms >= fromMs && ms < toMs ? record : undefined
  }
}

function parseRecord(line: string): AuditRecord | undefined {
  try {
    return auditRecordSchema.safeParse(JSON.parse(line)).data
  } catch {
    return undefined
  }
}
