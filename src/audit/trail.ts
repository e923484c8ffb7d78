import { setImmediate } from 'node:timers/promises'
import { createIsoTime, type Clock } from '../kernel/clock.ts'
import { AppError } from '../kernel/errors.ts'
import type { Log } from '../kernel/log.ts'
import type { CheckResult } from '../kernel/ops-server.ts'
import type { ChainHead } from './chain.ts'
import { formatDraft, type AuditFacts } from './record.ts'
import { createWaitingLines } from './waiting-lines.ts'

/** Where whole lines go, each with its newline. After a failure the same text comes again, before any other. */
export type AuditSink = {
  write: (text: Buffer) => Promise<void>
  /** The same at once, when the process is about to end. */
  writeSync?: (text: Buffer) => void
  /** What was written will outlive a power cut. */
  sync?: () => Promise<void>
  close: () => Promise<void>
}

export type AuditTrail = {
  /** Takes note of what has happened. Never fails and waits for nothing. */
  record: (facts: AuditFacts) => void
  /** AppError `temporarily_unavailable` while nothing can be recorded and `audit.onFailure` is `refuse`. */
  requireRecordable: () => void
  readiness: () => CheckResult
  isFailing: () => boolean
  /** For how long the oldest record that is not written has been waiting. */
  lagSeconds: () => number
  /** Records that found no more room. */
  lostRecords: () => number
  /** Says in the log how far the chain has got, once that is safely written. */
  checkpoint: () => Promise<void>
  close: () => Promise<void>
}

export type AuditTrailOptions = {
  writer: string
  head: ChainHead
  sink: AuditSink
  onFailure: 'refuse' | 'continue'
  clock: Clock
  log: Log
  /** For the age of what waits: a clock that is set must not look like a dead sink. */
  monotonicMs?: () => number
}

const FLUSH_WITHIN_MS = 200
const CHECKPOINT_EVERY_MS = 60_000
/** A sink that does not answer for so long is taken for dead. */
const DEAD_AFTER_MS = 5000
/** About 25 MB: what a busy proxy records in four seconds. */
const MAX_WAITING = 50_000

/**
 * The trail of one writer: records are chained many at a time and, every 200 ms, written together. A batch that cannot be written
 * is tried again until it can.
 */
export function createAuditTrail(options: AuditTrailOptions): AuditTrail {
  const { writer, sink, onFailure, clock, log, monotonicMs = () => performance.now() } = options
  const isoTime = createIsoTime(clock)
  const lines = createWaitingLines(options.head, monotonicMs)
  /** How far the sink has confirmed it. */
  let written = options.head
  let flushing: Promise<void> | undefined
  /** Whether the time of records has come that a flush under way does not take. */
  let isDue = false
  let timer: NodeJS.Timeout | undefined
  let hasFailed = false
  let lost = 0

  const waiting = () => lines.lastSeq() - written.seq
  const waitingMs = () => {
    const sinceMs = lines.sinceMs()
    return sinceMs === undefined ? 0 : monotonicMs() - sinceMs
  }
  const isFailing = () => hasFailed || waitingMs() > DEAD_AFTER_MS || isFull()
  const hasMoreToWrite = () => waiting() > 0 && !hasFailed
  const isFull = () => waiting() >= MAX_WAITING

  function record(facts: AuditFacts): void {
    if (isFull()) {
      if (lost === 0) log.error({ event: 'audit.lost', writer }, 'audit records are being lost')
      lost += 1
      return
    }
    const time = isoTime()
    lines.push((seq) => formatDraft({ time, writer, seq }, facts))
    timer ??= setTimeout(() => void flush(), FLUSH_WITHIN_MS)
  }

  function confirm(end: ChainHead): void {
    written = end
    lines.dropOldest()
    if (hasFailed) log.info({ event: 'audit.recovered', writer }, 'the audit trail goes on')
    hasFailed = false
  }

  /** What comes meanwhile waits for its own turn: a busy writer would never be done. */
  async function writeOut(): Promise<void> {
    const last = lines.lastSeq()
    while (written.seq < last) {
      const batch = lines.oldest()
      if (batch === undefined) return
      try {
        await sink.write(batch.text)
        confirm(batch.end)
      } catch (error) {
        if (!hasFailed) {
          const fields = { event: 'audit.failed', writer, err: error }
          log.error(fields, 'the audit trail cannot be written')
        }
        hasFailed = true
        return
      }
    }
  }

  /** One at a time. */
  function flush(): Promise<void> {
    clearTimeout(timer)
    timer = undefined
    isDue = flushing !== undefined
    flushing ??= writeOut().finally(() => {
      flushing = undefined
      if (waiting() === 0 || isClosed) return
      if (isDue && !hasFailed) void flush()
      else timer ??= setTimeout(() => void flush(), FLUSH_WITHIN_MS)
    })
    return flushing
  }

  async function checkpoint(): Promise<void> {
    const { seq, hash } = written
    if (seq === 0) return
    try {
      await sink.sync?.()
    } catch (error) {
      log.error({ event: 'audit.failed', writer, err: error }, 'the audit trail cannot be synced')
      return
    }
    log.info({ event: 'audit.checkpoint', writer, seq, hash }, 'audit checkpoint')
  }

  let isClosed = false
  const checkpoints = setInterval(() => void checkpoint(), CHECKPOINT_EVERY_MS).unref()
  /** For an end that waits for nobody, such as that of a bug. */
  const lastChance = () => {
    if (sink.writeSync === undefined) return
    for (let batch = lines.oldest(); batch !== undefined; batch = lines.oldest()) {
      try {
        sink.writeSync(batch.text)
      } catch {
        return
      }
      confirm(batch.end)
    }
  }
  process.once('exit', lastChance)

  return {
    record,
    requireRecordable() {
      if (onFailure === 'continue' || !isFailing()) return
      throw new AppError('temporarily_unavailable', 'What is done here cannot be recorded.', {
        reason: 'audit_unavailable',
        headers: { 'retry-after': '1' },
      })
    },
    readiness() {
      if (!isFailing()) return { status: 'ok' }
      const status = onFailure === 'refuse' ? 'unavailable' : 'ok'
      return { status, detail: 'the audit trail cannot be written' }
    },
    isFailing,
    lagSeconds: () => waitingMs() / 1000,
    lostRecords: () => lost,
    checkpoint,
    async close() {
      clearInterval(checkpoints)
      // Connections that were just closed say so in the next turn.
      await setImmediate()
      // One that is under way may fail of what was then.
      await flushing
      do {
        await flush()
      } while (hasMoreToWrite())
      isClosed = true
      clearTimeout(timer)
      process.off('exit', lastChance)
      await checkpoint()
      await sink.close()
      if (waiting() === 0) return
      log.error({ event: 'audit.lost', writer }, 'the last audit records could not be written')
    },
  }
}
