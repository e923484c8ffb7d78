import type { ChildProcess } from 'node:child_process'
import type { Readable } from 'node:stream'
import { setTimeout as pause } from 'node:timers/promises'
import { createStdoutSink } from '../audit/stdout-sink.ts'
import type { AuditSink } from '../audit/trail.ts'
import type { Log } from '../kernel/log.ts'
import { relayLines } from './relay-lines.ts'

const FULL_PAUSE_MS = 50

/** Passes on what workers say: their logs, and records of theirs that go to stdout. */
export type WorkerRelay = {
  passOn: (worker: Pick<ChildProcess, 'stdout' | 'stderr'>) => void
  /** When no worker runs any more: waits for what they said last, which may find nobody who takes it. */
  end: (withinMs: number) => Promise<void>
}

export function createWorkerRelay(log: Log): WorkerRelay {
  const stdout = createStdoutSink()
  let lastWritten = Promise.resolve()
  const relaying = new Set<Promise<void>>()

  const writeOut = (lines: string): Promise<void> =>
    (lastWritten = lastWritten.then(() => writeWhenTaken(stdout, Buffer.from(lines))))

  /** Where lines cannot go on, the worker finds its pipe full, and its audit trail knows what to do. */
  function relay(from: Readable | null, write: Parameters<typeof relayLines>[1]): void {
    if (from === null) return
    const relayed = relayLines(from, write)
      .catch((error: unknown) =>
        log.error({ event: 'worker.unheard', err: error }, 'lines of a worker cannot be passed on'),
      )
      .finally(() => relaying.delete(relayed))
    relaying.add(relayed)
  }

  return {
    passOn({ stdout: records, stderr: lines }) {
      relay(lines, log.relay)
      relay(records, writeOut)
    },
    async end(withinMs) {
      await Promise.race([Promise.all(relaying), pause(withinMs, undefined, { ref: false })])
      if (relaying.size === 0) return
      log.error({ event: 'worker.unheard' }, 'what workers said last could not be passed on')
    },
  }
}

/** A pipe that is full is no failure: whoever reads it is slow. */
async function writeWhenTaken(stdout: AuditSink, text: Buffer): Promise<void> {
  for (;;) {
    try {
      return await stdout.write(text)
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'EAGAIN')) throw error
      await pause(FULL_PAUSE_MS)
    }
  }
}
