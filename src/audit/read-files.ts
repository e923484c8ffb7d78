import { createReadStream } from 'node:fs'
import { open } from 'node:fs/promises'
import { listAuditFiles, type AuditFile } from './audit-files.ts'

/** A line of a file. Of one that is not finished there is no end yet. */
export type AuditLine = {
  file: AuditFile
  text: string
  number: number
  endsAtByte: number | undefined
}

/** How far the files of one day have been read, by name; those of days before are done with. */
export type Positions = ReadonlyMap<string, number>

export type ReadFilesOptions = {
  after?: Positions | undefined
  /** Days (UTC) that hold what is wanted, both included. */
  fromDay?: string | undefined
  toDay?: string | undefined
}

const NEWLINE = 0x0a

/** The lines of a folder day by day, and within a day writer by writer. */
export async function* readAuditFolder(
  dir: string,
  { after, fromDay = '', toDay = '9999' }: ReadFilesOptions = {},
): AsyncGenerator<AuditLine> {
  const begunDay = after?.keys().next().value?.slice(0, 10) ?? ''
  for (const file of await listAuditFiles(dir)) {
    if (file.day < begunDay || file.day < fromDay || file.day > toDay) continue
    yield* readAuditFile(file, after?.get(file.name) ?? 0)
  }
}

/** The lines of one file from that byte on, which must begin one. `number` counts from there. */
export async function* readAuditFile(file: AuditFile, fromByte = 0): AsyncGenerator<AuditLine> {
  let rest = Buffer.alloc(0)
  let endsAtByte = fromByte
  let number = 0
  for await (const chunk of createReadStream(file.path, { start: fromByte })) {
    const bytes = Buffer.concat([rest, Buffer.from(chunk)])
    let from = 0
    for (let at = bytes.indexOf(NEWLINE); at !== -1; at = bytes.indexOf(NEWLINE, from)) {
      number += 1
      endsAtByte += at + 1 - from
      yield { file, text: bytes.toString('utf8', from, at), number, endsAtByte }
      from = at + 1
    }
    rest = bytes.subarray(from)
  }
  if (rest.length === 0) return
  yield { file, text: rest.toString('utf8'), number: number + 1, endsAtByte: undefined }
}

/** Positions after that line: of another day than before, all of the day before is done with. */
export function advance(positions: Positions, { file, endsAtByte }: AuditLine): Positions {
  if (endsAtByte === undefined) return positions
  const sameDay = [...positions].filter(([name]) => name.startsWith(file.day))
  return new Map([...sameDay, [file.name, endsAtByte]])
}

/** Enough for a screen, whatever the lines hold. */
const TAIL_BYTES = 262_144

/** The last lines of the files of the last two days, each file's in order, and where to go on reading. */
export async function readEnds(dir: string): Promise<{ lines: string[]; positions: Positions }> {
  const files = await listAuditFiles(dir)
  const days = [...new Set(files.map(({ day }) => day))].slice(-2)
  const ends = await Promise.all(
    files
      .filter(({ day }) => days.includes(day))
      .map(async (file) => ({ file, ...(await readEnd(file)) })),
  )
  return {
    lines: ends.flatMap(({ lines }) => lines),
    positions: new Map(
      ends
        .filter(({ file }) => file.day === days.at(-1))
        .map(({ file, endsAtByte }) => [file.name, endsAtByte]),
    ),
  }
}

async function readEnd({ path }: AuditFile): Promise<{ lines: string[]; endsAtByte: number }> {
  await using file = await open(path)
  const { size } = await file.stat()
  const from = Math.max(0, size - TAIL_BYTES)
  const { buffer, bytesRead } = await file.read(Buffer.alloc(size - from), 0, size - from, from)
  const end = buffer.subarray(0, bytesRead).lastIndexOf(NEWLINE) + 1
  const begin = from === 0 ? 0 : buffer.indexOf(NEWLINE) + 1
  const text = buffer.toString('utf8', begin, Math.max(begin, end))
  return { lines: text.split('\n').filter((line) => line !== ''), endsAtByte: from + end }
}
