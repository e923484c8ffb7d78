import { z } from 'zod'
import { dayOf } from './audit-files.ts'
import { createMatcher, type AuditFilter } from './matcher.ts'
import type { AuditRecord } from './record.ts'
import {
  advance,
  readAuditFolder,
  readEnds,
  type Positions,
  type ReadFilesOptions,
} from './read-files.ts'

export type AuditPage = { records: AuditRecord[]; next: string | undefined }

export type PageQuery = {
  limit: number
  cursor?: string | undefined
  /** A cursor also at the end, for what comes later. */
  follows?: boolean | undefined
}

/** What has been written, for those who may read it. A page may hold fewer than `limit`; without `next` it is the last. */
export type AuditArchive = {
  search: (filter: AuditFilter, query: PageQuery) => Promise<AuditPage>
  /** The last records that match, by time, of what was written last; `next` goes on with what comes. */
  tail: (filter: AuditFilter, count: number) => Promise<AuditPage>
}

/** How much is read for one page that finds little: then the page is short, and the next goes on from there. */
const MAX_LINES_A_PAGE = 100_000

/** The files of a folder: day by day, and within a day writer by writer. Lines that are no records are passed over. */
export function createFileArchive(dir: string): AuditArchive {
  return {
    async search(filter, { limit, cursor, follows }) {
      let positions: Positions = cursor === undefined ? new Map() : parseCursor(cursor)
      const matches = createMatcher(filter)
      const records: AuditRecord[] = []
      let lines = 0
      for await (const line of readAuditFolder(dir, { ...daysOf(filter), after: positions })) {
        if (records.length >= limit || lines >= MAX_LINES_A_PAGE) {
          return { records, next: formatCursor(positions) }
        }
        lines += 1
        positions = advance(positions, line)
        const record = line.endsAtByte === undefined ? undefined : matches(line.text)
        if (record !== undefined) records.push(record)
      }
      return { records, next: follows === true ? formatCursor(positions) : undefined }
    },
    async tail(filter, count) {
      const { lines, positions } = await readEnds(dir)
      const matches = createMatcher(filter)
      const records = lines.flatMap((line) => matches(line) ?? [])
      records.sort((one, other) => (one.time < other.time ? -1 : Number(one.time > other.time)))
      return { records: records.slice(-count), next: formatCursor(positions) }
    },
  }
}

/** A file may begin and end a moment after its day. */
function daysOf({ fromMs, toMs }: AuditFilter): ReadFilesOptions {
  return {
    ...(fromMs !== undefined && { fromDay: dayOf(fromMs) }),
    ...(toMs !== undefined && { toDay: dayOf(toMs + MS_PER_DAY) }),
  }
}

const MS_PER_DAY = 86_400_000

const cursorSchema = z.array(z.tuple([z.string().max(100), z.int().min(0)])).max(1000)

const formatCursor = (positions: Positions): string =>
  Buffer.from(JSON.stringify([...positions])).toString('base64url')

/** A cursor that is not ours begins at the start. */
function parseCursor(cursor: string): Positions {
  try {
    const text = Buffer.from(cursor, 'base64url').toString()
    return new Map(cursorSchema.parse(JSON.parse(text)))
  } catch {
    return new Map()
  }
}
