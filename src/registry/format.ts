import { z } from 'zod'
import { ConfigError } from '../kernel/errors.ts'
import { ConflictError, type Store } from '../store/store.ts'
import { REGISTRY } from './kept-record.ts'

const MARK = 'format'
/** Raised by a release that writes what the one before it cannot read: never before the one before could read it. */
const FORMAT_VERSION = 1
const markSchema = z.object({ version: z.int().positive() })

/** Whether what is in the store may be read. A ConfigError when a newer release has begun to write in its own way. */
export async function requireKnownFormat(store: Pick<Store, 'get'>): Promise<void> {
  const version = await readVersion(store)
  if (version === undefined || version <= FORMAT_VERSION) return
  throw new ConfigError(
    [
      `the store has records of format ${version}, but this Gatehouse knows up to ${FORMAT_VERSION}`,
    ],
    'run the newer Gatehouse that wrote them, or restore a backup made by this version',
  )
}

/** Says to releases from before this one, from now on, that they cannot read what is written. */
export async function markFormat(store: Pick<Store, 'get' | 'commit'>): Promise<void> {
  const version = await readVersion(store)
  if (version !== undefined && version >= FORMAT_VERSION) return
  const value = markSchema.parse({ version: FORMAT_VERSION })
  const expect = version === undefined ? 'absent' : 'any'
  try {
    await store.commit(REGISTRY, [{ kind: 'put', id: MARK, value, expect, lifetime: 'permanent' }])
  } catch (error) {
    // Another process that starts now was first.
    if (!(error instanceof ConflictError)) throw error
  }
}

async function readVersion(store: Pick<Store, 'get'>): Promise<number | undefined> {
  const stored = await store.get(REGISTRY, MARK)
  return stored && markSchema.parse(stored.value).version
}
