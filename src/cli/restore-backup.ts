import { createReadStream } from 'node:fs'
import type { Config } from '../config/schema.ts'
import type { Clock } from '../kernel/clock.ts'
import { AppError } from '../kernel/errors.ts'
import { createPrivateFile, readPrivateFile } from '../kernel/private-file.ts'
import { parseClientKey } from '../keys/client-key-file.ts'
import { createKeyDocuments, type KeyDocuments } from '../keys/key-documents.ts'
import { openKeyFolder, type DocumentName } from '../keys/document-place.ts'
import { sealingKeysOf } from '../keys/sealing.ts'
import type { BackupEntry } from '../registry/backup-entry.ts'
import { createSurvivors, type Survivors } from '../registry/backup-survivors.ts'
import { beginRestore } from '../registry/restore-entries.ts'
import type { Store } from '../store/store.ts'
import { createBackupCounter, type BackupCounts } from './backup-counts.ts'
import { parseLines, type BackupLine, type KeyFile } from './backup-lines.ts'
import { adminKeyPathOf } from './admin-bootstrap.ts'
import { CliError } from './cli-error.ts'
import { keyDocumentsOf, requireSoundDocument } from './open-keys.ts'
import { openStore } from './open-store.ts'
import { damaged, unseal } from './sealed-stream.ts'

export type RestoreRequest = { config: Config; clock: Clock; path: string; passphrase: string }
export type RestoreReport = BackupCounts & {
  issuer: string
  key_files: Readonly<Record<string, KeyFileFate>>
}
type KeyFileFate = 'restored' | 'same' | 'kept_other'

const BATCH = 100

/**
 * Fills the configured store, which must be empty, from a backup, and puts its keys where there are none. The whole file
 * is verified before anything is written; what was interrupted goes on when it is repeated. A CliError says why not.
 */
export async function restoreBackup(request: RestoreRequest): Promise<RestoreReport> {
  const verified = await verifyBackup(request)
  const { config, clock } = request
  const store = await openStore(config, clock)
  try {
    const places = keyPlacesOf(config, keyDocumentsOf(config, store))
    const fates = await foreseeKeyFiles(places, verified.keyFiles)
    const counts = await fillStore(store, request, { ...verified, places })
    return { ...counts, issuer: verified.issuer, key_files: fates }
  } catch (cause) {
    throw isFromOutside(cause) ? interrupted(cause) : cause
  } finally {
    await store.close()
  }
}

type Verified = {
  issuer: string
  survivors: Survivors
  /** In the clear. */
  keyFiles: readonly KeyFile[]
}

async function verifyBackup({ config, path, passphrase }: RestoreRequest): Promise<Verified> {
  const { lines } = await openBackup(path, passphrase)
  const survivors = createSurvivors()
  const keyFiles: KeyFile[] = []
  let issuer: string | undefined
  for await (const some of lines) {
    for (const line of some) {
      if (line.kind === 'backup') issuer = line.issuer
      else if (line.kind === 'key_file') keyFiles.push(await openKeyFile(config, line))
      else survivors.learn(line)
    }
  }
  if (issuer === undefined) throw damaged()
  return { issuer, survivors, keyFiles }
}

async function fillStore(
  store: Store,
  { clock, path, passphrase }: RestoreRequest,
  { survivors, keyFiles, places }: Verified & { places: KeyPlaces },
): Promise<BackupCounts> {
  const { id, lines } = await openBackup(path, passphrase)
  const restoring = await beginRestore({ store, clock }, id)
  if (restoring === undefined) {
    throw new CliError('the store is not empty', {
      hint: 'stop the server and set dataDir (or redis.url) to a new place; nothing was changed',
    })
  }
  const counter = createBackupCounter()
  let batch: BackupEntry[] = []
  for await (const some of lines) {
    for (const line of some) {
      if (!isEntry(line) || !survivors.has(line)) continue
      counter.add(line)
      batch.push(line)
      if (batch.length < BATCH) continue
      await restoring.write(batch)
      batch = []
    }
  }
  await restoring.write(batch)
  for (const { name, text } of keyFiles) await places[name].create(text)
  await restoring.finish()
  return counter.counts
}

/** The store does not answer, or `keys.dir` cannot be written. */
const isFromOutside = (error: unknown): error is Error =>
  error instanceof AppError || (error instanceof Error && 'syscall' in error)

function interrupted(cause: Error): CliError {
  return new CliError(`the restore stopped: ${cause.message}`, {
    hint: 'run the same restore again: it goes on where it stopped',
    cause,
  })
}

const isEntry = (line: BackupLine): line is BackupEntry =>
  line.kind !== 'backup' && line.kind !== 'key_file'

async function openBackup(path: string, passphrase: string) {
  const { id, content } = await unseal(readParts(path), passphrase)
  return { id, lines: parseLines(content) }
}

async function* readParts(path: string): AsyncGenerator<Buffer> {
  try {
    yield* createReadStream(path)
  } catch (cause) {
    throw new CliError(`${path} cannot be read`, { cause })
  }
}

/** In the clear. A ConfigError when it is damaged, or sealed with what the configuration does not have. */
async function openKeyFile({ keys }: Config, file: KeyFile): Promise<KeyFile> {
  const { name, text } = file
  if (name === 'admin.jwk') {
    parseClientKey(name, text)
    return file
  }
  const placeOf = () => `the backup's ${name}`
  const home = { ...openKeyFolder(keys.dir), placeOf }
  const opened = await createKeyDocuments(home, sealingKeysOf(keys)).open(name, text)
  await requireSoundDocument(name, { text: opened.text, place: placeOf() })
  return { ...file, text: opened.text }
}

type KeyPlaces = Readonly<
  Record<
    KeyFile['name'],
    { read: () => Promise<string | undefined>; create: (text: string) => Promise<boolean> }
  >
>

/** Where each belongs; none is overwritten. */
function keyPlacesOf(config: Config, documents: KeyDocuments): KeyPlaces {
  const documentAt = (name: DocumentName) => ({
    read: async () => (await documents.read(name))?.text,
    create: (text: string) => documents.create(name, text),
  })
  const adminKey = adminKeyPathOf(config)
  return {
    'ring.json': documentAt('ring.json'),
    'secrets.json': documentAt('secrets.json'),
    'admin.jwk': {
      read: () => readPrivateFile(adminKey),
      create: (text) => createPrivateFile(adminKey, text),
    },
  }
}

/** A key that is there is never overwritten: it may be the only copy. */
async function foreseeKeyFiles(
  places: KeyPlaces,
  keyFiles: readonly KeyFile[],
): Promise<Record<string, KeyFileFate>> {
  const fates: Record<string, KeyFileFate> = {}
  for (const { name, text } of keyFiles) {
    const existing = await places[name].read()
    if (existing === undefined) fates[name] = 'restored'
    else fates[name] = existing === text ? 'same' : 'kept_other'
  }
  return fates
}
