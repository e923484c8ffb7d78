import type { Config } from '../config/schema.ts'
import type { Clock } from '../kernel/clock.ts'
import { AppError, ConfigError } from '../kernel/errors.ts'
import type { Log } from '../kernel/log.ts'
import { loadOrCreateSecrets, parseMaster } from '../keys/installation-secrets.ts'
import type { InstallationSecrets } from '../keys/installation-secrets.ts'
import { createKeyDocuments, type KeyDocuments } from '../keys/key-documents.ts'
import {
  openKeyFolder,
  openKeyRecords,
  type DocumentName,
  type DocumentPlace,
} from '../keys/document-place.ts'
import { parseRing } from '../keys/ring-file.ts'
import type { MakeKey } from '../keys/ring.ts'
import { openRingStore, type RingStore } from '../keys/ring-store.ts'
import { sealingKeysOf } from '../keys/sealing.ts'
import type { Store } from '../store/store.ts'
import { openStore } from './open-store.ts'

export type OpenKeys = { documents: KeyDocuments; ring: RingStore; secrets: InstallationSecrets }

/** In the order in which a half-done restore or move is least harmful. */
export const KEY_DOCUMENTS: readonly DocumentName[] = ['secrets.json', 'ring.json']

/**
 * The keys that all issuers of an installation share, made on the first start: in the store where that is Redis, else in
 * `keys.dir`. What is there in the clear although there is a key to seal it with is sealed first. A ConfigError when
 * they cannot be opened; nothing is ever overwritten then.
 */
export async function openKeys(
  config: Config,
  store: Store,
  { log, clock, makeKey }: { log: Log; clock: Clock; makeKey: MakeKey },
): Promise<OpenKeys> {
  try {
    const documents = keyDocumentsOf(config, store)
    if (config.redis.url !== undefined) await moveFromFolder(config, documents, log)
    for (const name of KEY_DOCUMENTS) await sealPlain(documents, name, log)
    const ring = await openRingStore(documents, { makeKey, clock })
    return { documents, ring, secrets: await loadOrCreateSecrets(documents) }
  } catch (error) {
    if (!(error instanceof AppError)) throw error
    throw new ConfigError([`the keys cannot be read: ${error.message}`], 'is Redis running?')
  }
}

/** The same documents for a command that has no store open. */
export async function openKeyDocuments(
  config: Config,
  clock: Clock,
): Promise<KeyDocuments & { close: () => Promise<void> }> {
  if (config.redis.url === undefined) {
    return { ...documentsIn(openKeyFolder(config.keys.dir), config), close: async () => undefined }
  }
  const store = await openStore(config, clock)
  return { ...keyDocumentsOf(config, store), close: store.close }
}

/** Where the configuration keeps them, opened with what it seals them with. */
export function keyDocumentsOf(config: Config, store: Store): KeyDocuments {
  const { redis, keys } = config
  return documentsIn(
    redis.url === undefined ? openKeyFolder(keys.dir) : openKeyRecords(store),
    config,
  )
}

const documentsIn = (home: DocumentPlace, { keys }: Config): KeyDocuments =>
  createKeyDocuments(home, sealingKeysOf(keys))

/** A ConfigError when the text of that document is not what it should be. */
export async function requireSoundDocument(
  name: DocumentName,
  { text, place }: { text: string; place: string },
): Promise<void> {
  if (name === 'ring.json') await parseRing(place, text)
  else parseMaster(place, text)
}

/** An installation that grows takes its keys along: the first issuer that starts on Redis puts them there. */
async function moveFromFolder(config: Config, to: KeyDocuments, log: Log): Promise<void> {
  const folder = documentsIn(openKeyFolder(config.keys.dir), config)
  for (const name of KEY_DOCUMENTS) {
    const found = await folder.read(name)
    if (found === undefined) continue
    const place = folder.placeOf(name)
    await requireSoundDocument(name, { text: found.text, place })
    const isMoved = await to.create(name, found.text)
    if (isMoved) log.info({ event: 'keys.moved', target: name }, 'moved a key document to Redis')
    log.warn({ event: 'keys.unused_file', target: place }, 'not used any more: remove it')
  }
}

async function sealPlain(documents: KeyDocuments, name: DocumentName, log: Log): Promise<void> {
  const found = await documents.read(name)
  if (found === undefined || found.key !== undefined) return
  if ((await documents.reseal(name)) !== 'resealed') return
  log.info({ event: 'keys.sealed', target: name }, 'sealed what was in the clear')
}
