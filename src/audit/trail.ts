import { setImmediate } from 'node:timers/promises'
import { createIsoTime, type Clock } from '../kernel/clock.ts'
import { AppError } from '../kernel/errors.ts'
import type { Log } from '../kernel/log.ts'
import type { CheckResult } from '../kernel/ops-server.ts'
import { linkDrafts, type ChainHead } from './chain.ts'
import { formatDraft, type AuditFacts } from './record.ts'

/** Where lines go. After a failure the same batch comes again, before any other. */
export type AuditSink = {
  write: (lines: readonly string[]) => Promise<void>
  /** The same at once, when the process is about to end. */
  writeSync?: (lines: readonly string[]) => void
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
const MAX_BATCH = 5000

/**
 * The trail of one writer: records are serialised at once and, every 200 ms, chained and written together. A batch that
 * cannot be written is tried again until it can.
 */
export function createAuditTrail(options: AuditTrailOptions): AuditTrail {
  const { writer, sink, onFailure, clock, log, monotonicMs = () => performance.now() } = options
  const isoTime = createIsoTime(clock)
  let { seq, hash: chainedHash } = options.head
  /** How far the sink has confirmed it. */
  let written: ChainHead = options.head
  /** Serialised, and not yet in a batch. */
  let drafts: string[] = []
  let draftsSinceMs = 0
  /** Chained, and not yet confirmed by the sink. */
  let batch: readonly string[] = []
  let batchSinceMs = 0
  let flushing: Promise<void> | undefined
  let timer: NodeJS.Timeout | undefined
  let hasFailed = false
  let lost = 0

  const waitingSinceMs = () => (batch.length > 0 ? batchSinceMs : draftsSinceMs)
  const waiting = () => batch.length + drafts.length
  const isFailing = () =>
    hasFailed || (waiting() > 0 && monotonicMs() - waitingSinceMs() > DEAD_AFTER_MS) || isFull()
  const isFull = () => waiting() >= MAX_WAITING

  function record(facts: AuditFacts): void {
    if (isFull()) {
      if (lost === 0) log.error({ event: 'audit.lost', writer }, 'audit records are being lost')
      lost += 1
      return
    }
    if (drafts.length === 0) draftsSinceMs = monotonicMs()
    seq += 1
    drafts.push(formatDraft({ time: isoTime(), writer, seq }, facts))
    timer ??= setTimeout(() => void flush(), FLUSH_WITHIN_MS)
  }

  function takeBatch(): void {
    if (batch.length > 0) return
    batchSinceMs = draftsSinceMs
    const linked = linkDrafts(drafts.splice(0, MAX_BATCH), chainedHash)
    batch = linked.lines
    chainedHash = linked.lastHash
  }

  function confirm(): void {
    written = { seq: written.seq + batch.length, hash: chainedHash }
    batch = []
    if (hasFailed) log.info({ event: 'audit.recovered', writer }, 'the audit trail goes on')
    hasFailed = false
  }

  async function writeOut(): Promise<void> {
    while (waiting() > 0) {
      takeBatch()
      try {
        await sink.write(batch)
        confirm()
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

  /** One at a time; whatever comes meanwhile goes along. */
  function flush(): Promise<void> {
    clearTimeout(timer)
    timer = undefined
    flushing ??= writeOut().finally(() => {
      flushing = undefined
      if (waiting() > 0 && !isClosed) timer ??= setTimeout(() => void flush(), FLUSH_WITHIN_MS)
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
    while (waiting() > 0 && sink.writeSync !== undefined) {
      takeBatch()
      try {
        sink.writeSync(batch)
      } catch {
        return
      }
      confirm()
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
    lagSeconds: () => (waiting() === 0 ? 0 : (monotonicMs() - waitingSinceMs()) / 1000),
    lostRecords: () => lost,
    checkpoint,
    async close() {
      clearInterval(checkpoints)
      // Connections that were just closed say so in the next turn.
      await setImmediate()
      await flush()
      // What came while that was under way.
      await flush()
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
