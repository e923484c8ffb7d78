import { DatabaseSync } from 'node:sqlite'
import { createPrivateFile } from './private-file.ts'

const SQLITE_BUSY = 5

/**
 * Takes the lock that goes by that file and gives what releases it, or undefined when somebody else has it. The lock is
 * the operating system's, taken through SQLite: it goes with the process, however that ends. To wait for it would block
 * this process, which may be the one that has it.
 */
export async function tryFileLock(path: string): Promise<(() => void) | undefined> {
  await createPrivateFile(path, '')
  const lock = new DatabaseSync(path, { timeout: 0 })
  try {
    lock.exec('begin exclusive')
    return () => lock.close()
  } catch (error) {
    lock.close()
    if (error instanceof Error && 'errcode' in error && error.errcode === SQLITE_BUSY)
      return undefined
    throw error
  }
}
