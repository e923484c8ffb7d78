import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { isDeepStrictEqual } from 'node:util'
import type { Clock } from '../kernel/clock.ts'
import { createPrivateFile, readPrivateFile, writePrivateFile } from '../kernel/private-file.ts'
import { loadOrCreateRing, parseRing } from './ring-file.ts'
import type { MakeKey, Ring } from './ring.ts'

const SQLITE_BUSY = 5

/** Where a ring is kept that changes by compare-and-set. */
export type RingStore = {
  load: () => Promise<Ring>
  /** Puts `to` in the place of `from`. False, changing nothing, when somebody else was faster. */
  replace: (from: Ring, to: Ring) => Promise<boolean>
}

/** The ring in `ring.json` of that folder (0600), made when it is missing; other processes may change it as well. */
export function openRingFolder(
  dir: string,
  options: { makeKey: MakeKey; clock: Clock },
): RingStore {
  const path = join(dir, 'ring.json')
  return {
    load: () => loadOrCreateRing(dir, options),
    replace: (from, to) =>
      withLock(join(dir, 'ring.lock'), async () => {
        const text = await readPrivateFile(path)
        if (text === undefined || !isSame(await parseRing(path, text), from)) return false
        await writePrivateFile(path, JSON.stringify(to, null, 2))
        return true
      }),
  }
}

export const isSame = (a: Ring, b: Ring): boolean => isDeepStrictEqual(a, b)

/**
 * The lock is the operating system's, taken through SQLite: it goes with the process, however that ends. Gives false
 * when somebody else has it; waiting would block this process, which may be the one that has it.
 */
async function withLock(path: string, work: () => Promise<boolean>): Promise<boolean> {
  await createPrivateFile(path, '')
  const lock = new DatabaseSync(path, { timeout: 0 })
  try {
    lock.exec('begin exclusive')
    return await work()
  } catch (error) {
    if (error instanceof Error && 'errcode' in error && error.errcode === SQLITE_BUSY) return false
    throw error
  } finally {
    lock.close()
  }
}
