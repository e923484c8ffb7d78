import { constants } from 'node:fs'
import type { FileHandle } from 'node:fs/promises'

/** Under Node's permission model there is no fsync. */
const hasSync = process.permission === undefined

/** For `open`, of what has to outlast a loss of power: where nothing can be synced later, each write is synced by itself. */
export const DURABLE = hasSync ? 0 : constants.O_DSYNC

/** Everything written so far is on the disk afterwards: of a file that was opened with `DURABLE`. */
export async function syncFile(file: FileHandle): Promise<void> {
  if (hasSync) await file.sync()
}

/** The same without what only says when. */
export async function syncContent(file: FileHandle): Promise<void> {
  if (hasSync) await file.datasync()
}
