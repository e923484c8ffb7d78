import { z } from 'zod'
import type { Config } from '../config/schema.ts'
import { epochSeconds, type Clock } from '../kernel/clock.ts'
import { AppError } from '../kernel/errors.ts'
import { readPrivateFile, writePrivateFile } from '../kernel/private-file.ts'
import type { KeptDocument } from '../keys/key-documents.ts'
import { parseRing } from '../keys/ring-file.ts'
import { backupEntrySchema, type BackupEntry } from '../registry/backup-entry.ts'
import { adminKeyPathOf } from './admin-bootstrap.ts'
import type { AdminApi } from './admin-api.ts'
import { createBackupCounter, type BackupCounts } from './backup-counts.ts'
import { formatLines, keyFileSchema, type KeyFile } from './backup-lines.ts'
import { CliError } from './cli-error.ts'
import { KEY_DOCUMENTS, openKeyDocuments } from './open-keys.ts'
import { seal } from './sealed-stream.ts'

export type BackupRequest = {
  api: AdminApi
  config: Config
  clock: Clock
  path: string
  passphrase: string
}
export type BackupReport = BackupCounts & { key_files: readonly string[] }

const statusSchema = z.object({
  issuer: z.string(),
  keys: z.array(z.object({ kid: z.string() })),
})
type Status = z.infer<typeof statusSchema>

/**
 * Writes all that the running server keeps for good into an encrypted file (0600), in memory that does not grow with it;
 * the file there before is replaced at the end, or not at all. The keys come from where this machine's configuration has
 * them (`keys.dir` or Redis), where they are the server's.
 */
export async function makeBackup(request: BackupRequest): Promise<BackupReport> {
  const { api, config, clock, path, passphrase } = request
  const status = statusSchema.parse(await api.call({ path: 'status' }))
  const keyFiles = await readKeyFiles(config, clock, status)
  const counter = createBackupCounter()

  async function* content(): AsyncGenerator<Buffer> {
    const { issuer } = status
    yield formatLines([{ kind: 'backup', issuer, made_at: epochSeconds(clock) }, ...keyFiles])
    for await (const page of api.pages({ path: 'backup' })) {
      const entries = page.map(parseEntry)
      for (const entry of entries) counter.add(entry)
      yield formatLines(entries)
    }
  }

  try {
    await writePrivateFile(path, seal(content(), passphrase))
  } catch (cause) {
    if (!(cause instanceof Error && 'syscall' in cause)) throw cause
    throw new CliError(`${path} cannot be written: ${cause.message}`, { cause })
  }
  return { ...counter.counts, key_files: keyFiles.map(({ name }) => name) }
}

/** What could not be restored must not look like a backup. */
function parseEntry(item: unknown): BackupEntry {
  const parsed = backupEntrySchema.safeParse(item)
  if (parsed.success) return parsed.data
  throw new CliError('the server keeps something that this command does not know', {
    hint: 'run the command in the version of the server',
  })
}

/** None where the ring is missing or that of another server. */
async function readKeyFiles(config: Config, clock: Clock, { keys }: Status): Promise<KeyFile[]> {
  const documents = await readKeyDocuments(config, clock)
  const ring = documents.find(({ name }) => name === 'ring.json')
  if (ring === undefined) return []
  const ours = new Set((await parseRing(ring.name, ring.text)).keys.map(({ kid }) => kid))
  if (!keys.every(({ kid }) => ours.has(kid))) return []
  const adminKey = await readPrivateFile(adminKeyPathOf(config))
  return [
    ...documents.map(({ name, kept }) =>
      keyFileSchema.parse({ kind: 'key_file', name, text: kept }),
    ),
    ...(adminKey === undefined
      ? []
      : [keyFileSchema.parse({ kind: 'key_file', name: 'admin.jwk', text: adminKey })]),
  ]
}

/** From `keys.dir`, or from the Redis of the configuration. */
async function readKeyDocuments(config: Config, clock: Clock): Promise<KeptDocument[]> {
  const documents = await openKeyDocuments(config, clock)
  try {
    const found = await Promise.all(KEY_DOCUMENTS.map((name) => documents.read(name)))
    return found.filter((document) => document !== undefined)
  } catch (cause) {
    if (!(cause instanceof AppError)) throw cause
    throw new CliError(`the keys cannot be read: ${cause.message}`, { cause })
  } finally {
    await documents.close()
  }
}
