import { z } from 'zod'
import { backupEntrySchema } from '../registry/backup-entry.ts'
import { damaged } from './sealed-stream.ts'

const headSchema = z.strictObject({
  kind: z.literal('backup'),
  issuer: z.string(),
  /** Seconds since the epoch. */
  made_at: z.int(),
})

/** The keys that a backup can hold, as they are kept: sealed, where they are. */
export const keyFileSchema = z.strictObject({
  kind: z.literal('key_file'),
  name: z.enum(['ring.json', 'secrets.json', 'admin.jwk']),
  text: z.string(),
})
export type KeyFile = z.infer<typeof keyFileSchema>

/** What a backup consists of under its seal: one JSON object a line. */
const lineSchema = z.discriminatedUnion('kind', [headSchema, keyFileSchema, backupEntrySchema])
export type BackupLine = z.infer<typeof lineSchema>

export const formatLines = (lines: readonly BackupLine[]): Buffer =>
  Buffer.from(lines.map((line) => `${JSON.stringify(line)}\n`).join(''))

/** The lines in the order of the file, as many at a time as come together. A CliError for what is none. */
export async function* parseLines(
  content: AsyncIterable<Buffer>,
): AsyncGenerator<readonly BackupLine[]> {
  const decoder = new TextDecoder('utf-8', { fatal: true })
  let held = ''
  for await (const part of content) {
    const texts = `${held}${decoder.decode(part, { stream: true })}`.split('\n')
    held = texts.pop() ?? ''
    if (texts.length > 0) yield texts.map(parseLine)
  }
  if (held !== '') throw damaged()
}

function parseLine(text: string): BackupLine {
  const parsed = lineSchema.safeParse(parseJson(text))
  if (parsed.success) return parsed.data
  throw damaged()
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
