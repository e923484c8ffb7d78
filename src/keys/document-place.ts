import { join } from 'node:path'
import { tryFileLock } from '../kernel/file-lock.ts'
import { createPrivateFile, readPrivateFile, writePrivateFile } from '../kernel/private-file.ts'
import { ConflictError, type Store } from '../store/store.ts'

export type DocumentName = 'ring.json' | 'secrets.json'

/** Where the documents with secret keys are kept, as texts that change by compare-and-set. */
export type DocumentPlace = {
  /** Whether nobody but its owner can read or write there, so that a document need not be sealed. */
  isPrivate: boolean
  /** What an operator is told of the place of a document. */
  placeOf: (name: DocumentName) => string
  read: (name: DocumentName) => Promise<string | undefined>
  /** False, changing nothing, when it is there already. */
  create: (name: DocumentName, text: string) => Promise<boolean>
  /** Puts `to` in the place of `from`. False, changing nothing, when it is not as it was. */
  replace: (name: DocumentName, change: { from: string; to: string }) => Promise<boolean>
}

/** Files of that folder (0600), which other processes may change as well. */
export function openKeyFolder(dir: string): DocumentPlace {
  const pathOf = (name: DocumentName) => join(dir, name)
  return {
    isPrivate: true,
    placeOf: pathOf,
    read: (name) => readPrivateFile(pathOf(name)),
    create: (name, text) => createPrivateFile(pathOf(name), text),
    replace: (name, { from, to }) =>
      withLock(join(dir, 'ring.lock'), async () => {
        if ((await readPrivateFile(pathOf(name))) !== from) return false
        await writePrivateFile(pathOf(name), to)
        return true
      }),
  }
}

const KEYS = { name: 'keys', layout: 'scattered' } as const

/** Permanent records of a store that several issuers have in common. */
export function openKeyRecords(store: Pick<Store, 'get' | 'commit'>): DocumentPlace {
  const read = async (name: DocumentName) => {
    const record = await store.get(KEYS, name)
    return record && { version: record.version, text: String(record.value) }
  }
  const put = (name: DocumentName, text: string, expect: 'absent' | { version: string }) =>
    wins(
      store.commit(KEYS, [{ kind: 'put', id: name, value: text, expect, lifetime: 'permanent' }]),
    )
  return {
    isPrivate: false,
    placeOf: (name) => `the store's ${name}`,
    read: async (name) => (await read(name))?.text,
    create: (name, text) => put(name, text, 'absent'),
    replace: async (name, { from, to }) => {
      const found = await read(name)
      if (found?.text !== from) return false
      return put(name, to, { version: found.version })
    },
  }
}

async function wins(commit: Promise<string>): Promise<boolean> {
  try {
    await commit
    return true
  } catch (error) {
    if (error instanceof ConflictError) return false
    throw error
  }
}

/** False, having done nothing, when somebody else has the lock. */
async function withLock(path: string, work: () => Promise<boolean>): Promise<boolean> {
  const release = await tryFileLock(path)
  if (release === undefined) return false
  try {
    return await work()
  } finally {
    release()
  }
}
