import { constants, openSync, writeSync } from 'node:fs'
import { open, type FileHandle } from 'node:fs/promises'
import { join } from 'node:path'
import type { Clock } from '../kernel/clock.ts'
import { DURABLE, syncContent } from '../kernel/durable-file.ts'
import { auditFileName, dayOf } from './audit-files.ts'
import type { AuditSink } from './trail.ts'

export type FileSinkOptions = {
  dir: string
  writer: string
  clock: Clock
  /** The file that the writer goes on with, opened, and how much of it are whole lines. */
  current?: { day: string; file: FileHandle; bytes: number } | undefined
  onClose: () => void
}

const TO_WRITE = constants.O_WRONLY | constants.O_CREAT | DURABLE

/**
 * A file a day (UTC), 0600. Lines go to the place where the last whole one ended, so that whatever a full disk let
 * through of a batch is written over.
 */
export function createFileSink({ dir, writer, clock, ...options }: FileSinkOptions): AuditSink {
  let current = options.current
  /** Where the process ends with, once it does. */
  let last: { fd: number; bytes: number } | undefined

  const pathOf = (day: string) => join(dir, auditFileName(day, writer))

  /** A clock that is set back does not open the file of the day before again. */
  async function fileForToday() {
    const today = dayOf(clock())
    if (current !== undefined && today <= current.day) return current
    const file = await open(pathOf(today), TO_WRITE, 0o600)
    const { size } = await file.stat()
    await current?.file.close()
    current = { day: today, file, bytes: size }
    return current
  }

  return {
    async write(text) {
      const into = await fileForToday()
      await writeFully(into.file, text, into.bytes)
      into.bytes += text.length
    },
    writeSync(text) {
      // The first of a trail may have been on their way to a file that is not there yet.
      last ??=
        current === undefined
          ? { fd: openSync(pathOf(dayOf(clock())), TO_WRITE, 0o600), bytes: 0 }
          : { fd: current.file.fd, bytes: current.bytes }
      // The very bytes that may be under way already, at the same place.
      writeSync(last.fd, text, 0, text.length, last.bytes)
      last.bytes += text.length
    },
    sync: async () => {
      if (current !== undefined) await syncContent(current.file)
    },
    async close() {
      await current?.file.close()
      options.onClose()
    },
  }
}

/** A disk that is getting full takes a part first, and says so only when asked for the rest. */
async function writeFully(file: FileHandle, text: Buffer, at: number): Promise<void> {
  let done = 0
  while (done < text.length) {
    const { bytesWritten } = await file.write(text, done, text.length - done, at + done)
    done += bytesWritten
  }
}
