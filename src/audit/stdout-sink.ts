import { write } from 'node:fs'
import { promisify } from 'node:util'
import type { AuditSink } from './trail.ts'

const STDOUT = 1
const writeSome = promisify(write)

/** Lines on standard output. What a full pipe has not taken of a batch is sent when that comes again. */
export function createStdoutSink(fd = STDOUT): AuditSink {
  let begun: { lines: readonly string[]; text: Buffer; done: number } | undefined
  return {
    async write(lines) {
      if (begun?.lines !== lines) {
        begun = { lines, text: Buffer.from(`${lines.join('\n')}\n`), done: 0 }
      }
      while (begun.done < begun.text.length) {
        const { bytesWritten } = await writeSome(fd, begun.text, begun.done)
        begun.done += bytesWritten
      }
    },
    close: async () => undefined,
  }
}
