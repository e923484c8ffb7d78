import { constants } from 'node:fs'
import { mkdir, open, type FileHandle } from 'node:fs/promises'
import { DURABLE } from '../kernel/durable-file.ts'
import { ConfigError } from '../kernel/errors.ts'
import type { Log } from '../kernel/log.ts'
import { listAuditFiles, type AuditFile } from './audit-files.ts'
import { CHAIN_START, type ChainHead } from './chain.ts'
import { createFileSink } from './file-sink.ts'
import { findEnd } from './last-record.ts'
import { scheduleUsageSums } from './keep-usage-sums.ts'
import { newWriterId } from './record.ts'
import { deleteExpiredFiles, scheduleRetention, type RetentionOptions } from './retention.ts'
import { createAuditTrail, type AuditTrail, type AuditTrailOptions } from './trail.ts'
import { lockWriter, type WriterLock } from './writer-lock.ts'

export type FileTrailOptions = RetentionOptions &
  Pick<AuditTrailOptions, 'onFailure'> & { role: 'issuer' | 'proxy' }

type Writer = { writer: string; lock: WriterLock; head: ChainHead; current?: Current | undefined }
type Current = { day: string; file: FileHandle; bytes: number }

/**
 * Goes on with the chain of a writer of that role that nobody else has, from its last whole record; or begins one. What
 * was cut off in the middle of a line is taken away and said in the log. A ConfigError when the folder cannot be used.
 */
export async function openFileTrail(options: FileTrailOptions): Promise<AuditTrail> {
  const { dir, onFailure, clock, log } = options
  try {
    await mkdir(dir, { recursive: true, mode: 0o700 })
    await deleteExpiredFiles(options)
    const { writer, lock, head, current } = (await takeUpWriter(options)) ?? newWriter(options)
    const stopRetention = scheduleRetention(options)
    // One process is enough, and it is not the one whose time callers wait for.
    const stopSums = options.role === 'issuer' ? scheduleUsageSums(options) : undefined
    const onClose = () => {
      stopRetention()
      stopSums?.()
      lock.release()
    }
    const sink = createFileSink({ dir, writer, clock, current, onClose })
    return createAuditTrail({ writer, head, sink, onFailure, clock, log })
  } catch (error) {
    if (!(error instanceof Error && 'code' in error)) throw error
    throw new ConfigError(
      [`${dir} cannot be used for the audit trail (${String(error.code)})`],
      'make it writable, or choose another audit.sink',
    )
  }
}

function newWriter({ dir, role }: Pick<FileTrailOptions, 'dir' | 'role'>): Writer {
  const writer = newWriterId(role)
  const lock = lockWriter(dir, writer)
  // Whoever drew the same name was first.
  return lock === undefined ? newWriter({ dir, role }) : { writer, lock, head: CHAIN_START }
}

async function takeUpWriter({ dir, role, log }: FileTrailOptions): Promise<Writer | undefined> {
  const newestFirst = (await listAuditFiles(dir)).toReversed()
  const writers = new Set(newestFirst.map(({ writer }) => writer))
  for (const writer of writers) {
    const lock = writer.startsWith(`${role}-`) ? lockWriter(dir, writer) : undefined
    if (lock === undefined) continue
    const files = newestFirst.filter((file) => file.writer === writer)
    const end = await openAtEnd(files, log)
    if (end !== undefined) return { writer, lock, ...end }
    lock.release()
  }
  return undefined
}

/** Undefined when the chain is damaged: it is left as it is, for `audit verify`, and not gone on with. */
async function openAtEnd(
  [newest, ...older]: readonly AuditFile[],
  log: Log,
): Promise<Pick<Writer, 'head' | 'current'> | undefined> {
  if (newest === undefined) return { head: CHAIN_START }
  const { day, path, name, writer } = newest
  const file = await open(path, constants.O_RDWR | DURABLE)
  const end = await findEnd(file)
  if (!end.isIntact) {
    await file.close()
    log.error(
      { event: 'audit.damaged', writer, target: name },
      'the end of an audit file was changed',
    )
    return undefined
  }
  if (end.tornBytes > 0) {
    await file.truncate(end.wholeBytes)
    log.warn({ event: 'audit.torn', writer, target: name, ...end.head }, TORN)
  }
  const current = { day, file, bytes: end.wholeBytes }
  if (end.head !== undefined) return { head: end.head, current }
  // A file that was just begun when its process ended.
  const before = await openAtEnd(older, log)
  await before?.current?.file.close()
  if (before !== undefined) return { head: before.head, current }
  await file.close()
  return undefined
}

const TORN =
  'the process before ended in the middle of an audit record: the chain goes on from the last whole one'
