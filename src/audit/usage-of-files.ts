import { open, readFile } from 'node:fs/promises'
import { z } from 'zod'
import { writePrivateFile } from '../kernel/private-file.ts'
import { dayOf, listAuditFiles, sumsPathOf, type AuditFile } from './audit-files.ts'
import { readAuditFile } from './read-files.ts'
import type { UsageSource } from './usage-report.ts'
import { addLine, addSum, usageSumSchema, type UsageSum, type UsageSums } from './usage-sums.ts'

const MS_PER_DAY = 86_400_000
/** Behind it, years have more digits, and text is no longer in the order of time. */
const LAST_DAY = '9999-12-31'

/** How far a file has been summed up: up to that byte, where the record with that hash ends. */
const keptSumsSchema = z.object({
  bytes: z.int().min(0),
  hash: z.string(),
  sums: z.array(usageSumSchema),
})
type KeptSums = z.output<typeof keptSumsSchema>

const NOTHING: KeptSums = { bytes: 0, hash: '', sums: [] }

/**
 * Sums up the files of a folder. With `keepsSums` those of each file are kept beside it, and only what has come since is
 * read; sums of a file that does not hold the same record at the same place any more are made anew.
 */
export function createFileUsage(dir: string, { keepsSums }: { keepsSums: boolean }): UsageSource {
  return async function* sumsOf({ from, to }) {
    // What happened at the very end of a day may be in the file of the next.
    const last = to < LAST_DAY ? dayOf(Date.parse(to) + MS_PER_DAY) : to
    for (const file of await listAuditFiles(dir)) {
      if (file.day < from || file.day > last) continue
      yield keepsSums ? await sumUpAndKeep(file) : (await sumUp(file, NOTHING)).sums
    }
  }
}

async function sumUpAndKeep(file: AuditFile): Promise<readonly UsageSum[]> {
  const kept = await loadSums(file)
  const now = await sumUp(file, kept)
  if (now.hash !== '' && now.bytes !== kept.bytes) {
    // They save time: where they cannot be written, they are made again.
    await writePrivateFile(sumsPathOf(file), JSON.stringify(now)).catch(() => undefined)
  }
  return now.sums
}

async function sumUp(file: AuditFile, kept: KeptSums): Promise<KeptSums> {
  const sums: UsageSums = new Map()
  for (const sum of kept.sums) addSum(sums, sum)
  let { bytes } = kept
  let lastLine: string | undefined
  for await (const { text, endsAtByte } of readAuditFile(file, kept.bytes)) {
    if (endsAtByte === undefined) break
    addLine(sums, text)
    bytes = endsAtByte
    lastLine = text
  }
  const hash = lastLine === undefined ? kept.hash : (HASH_MEMBER.exec(lastLine)?.[1] ?? '')
  return { bytes, hash, sums: [...sums.values()] }
}

const HASH_MEMBER = /"hash":"([A-Za-z0-9_-]{43})"\}$/

/** Those that were kept, if the file still says what they were made of. */
async function loadSums(file: AuditFile): Promise<KeptSums> {
  const text = await readFile(sumsPathOf(file), 'utf8').catch(() => 'null')
  const kept = parseSums(text)
  return kept !== undefined && (await endsWith(file, kept)) ? kept : NOTHING
}

function parseSums(text: string): KeptSums | undefined {
  try {
    return keptSumsSchema.safeParse(JSON.parse(text)).data
  } catch {
    return undefined
  }
}

async function endsWith({ path }: AuditFile, { bytes, hash }: KeptSums): Promise<boolean> {
  const end = Buffer.from(`"hash":"${hash}"}\n`)
  if (bytes < end.length) return false
  await using file = await open(path)
  const { buffer } = await file.read(Buffer.alloc(end.length), 0, end.length, bytes - end.length)
  return buffer.equals(end)
}
