import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'

export type WriterLock = { release: () => void; releaseAndRemove: () => void }

/**
 * Takes a writer for this process alone, or gives undefined when another process has it. SQLite locks the empty file
 * beside the writer's files as it locks its databases: the lock goes with the process, however that ends.
 */
export function lockWriter(dir: string, writer: string): WriterLock | undefined {
  const path = join(dir, `${writer}.lock`)
  const database = new DatabaseSync(path, { timeout: 0 })
  try {
    // Nothing is ever written to it, and no journal is to lie beside it.
    database.exec('pragma journal_mode = memory; begin exclusive')
  } catch (error) {
    database.close()
    if (isBusy(error)) return undefined
    throw error
  }
  return {
    release: () => database.close(),
    releaseAndRemove() {
      rmSync(path, { force: true })
      database.close()
    },
  }
}

const SQLITE_BUSY = 5
const isBusy = (error: unknown): boolean =>
  error instanceof Error && 'errcode' in error && error.errcode === SQLITE_BUSY
