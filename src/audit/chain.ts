import { hash } from 'node:crypto'
import { auditRecordSchema, type AuditRecord } from './record.ts'

/** The end of a writer's chain so far; of a new one `{ seq: 0, hash: '' }`. */
export type ChainHead = { seq: number; hash: string }

export const CHAIN_START: ChainHead = { seq: 0, hash: '' }

/** What a line says of itself: the SHA-256 of its text without this member. */
export const hashOf = (text: string | Buffer): string => hash('sha256', text, 'base64url')

const HASH_MEMBER = /,"hash":"[A-Za-z0-9_-]{43}"\}$/

/** A line as it is in the trail: with the record, or with what is wrong with it. */
export type ReadLine =
  | { record: AuditRecord; isIntact: boolean }
  /** Not a record at all, such as half a line. */
  | { record: undefined }

/** `isIntact` says that the line is the very text of which its hash was made. */
export function readLine(line: string): ReadLine {
  const record = auditRecordSchema.safeParse(parseJson(line)).data
  if (record === undefined) return { record: undefined }
  const at = HASH_MEMBER.exec(line)?.index
  const isIntact = at !== undefined && hashOf(`${line.slice(0, at)}}`) === record.hash
  return { record, isIntact }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
