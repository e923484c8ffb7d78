import { write } from 'node:fs'
import { promisify } from 'node:util'
import type { AuditSink } from './trail.ts'

const STDOUT = 1
const writeSome = promisify(write)

/** Lines on standard output. What a full pipe has not taken of a batch is sent when that comes again. */
export function createStdoutSink(fd = STDOUT): AuditSink {
  let begun: { text: Buffer; done: number } | undefined
  return {
    async write(text) {
      if (begun?.text !== text) begun = { text, done: 0 }
      while (begun.done < text.length) {
        const { bytesWritten } = await writeSome(fd, text, begun.done)
        begun.done += bytesWritten
      }
    },
    close: async () => undefined,
  }
}
