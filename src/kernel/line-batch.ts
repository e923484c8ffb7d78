import { pino } from 'pino'
import { createCohort } from './cohorts.ts'

/** Where whole lines go, each with its newline. What a line is it may ask later, and not at once. */
export type LineDestination = { write: (line: () => string) => void; flush?: () => Promise<void> }

const WRITE_FROM_LENGTH = 65_536
const WRITE_WITHIN_MS = 200

/** Lines for stderr, written together when they are 64 KiB, after 200 ms, and when the process exits. */
export function createLineBatch(): LineDestination {
  // Given single lines, it would measure its whole buffer at each of them.
  const stderr = pino.destination({ dest: 2, sync: false })
  let batch = ''
  let timer: NodeJS.Timeout | undefined

  const unspelt = createCohort((line: () => string) => {
    batch += line()
  })

  function writeOut(): void {
    clearTimeout(timer)
    timer = undefined
    unspelt.workOff()
    if (batch !== '') stderr.write(batch)
    batch = ''
  }
  process.once('exit', () => {
    writeOut()
    stderr.flushSync()
  })

  return {
    write(line) {
      unspelt.add(line)
      if (batch.length >= WRITE_FROM_LENGTH) writeOut()
      else timer ??= setTimeout(writeOut, WRITE_WITHIN_MS).unref()
    },
    flush() {
      writeOut()
      return new Promise((resolve) => stderr.flush(() => resolve()))
    },
  }
}
