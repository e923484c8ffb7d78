import { rm } from 'node:fs/promises'
import type { Clock } from '../kernel/clock.ts'
import type { Log } from '../kernel/log.ts'
import { dayOf, listAuditFiles, sumsPathOf } from './audit-files.ts'
import { lockWriter } from './writer-lock.ts'

export type RetentionOptions = { dir: string; retentionDays: number; clock: Clock; log: Log }

const MS_PER_DAY = 86_400_000
const SWEEP_EVERY_MS = 3_600_000

/** Deletes the files whose every record is older than the retention, whoever wrote them. */
export async function deleteExpiredFiles(options: RetentionOptions): Promise<void> {
  const { dir, retentionDays, clock, log } = options
  const files = await listAuditFiles(dir)
  const firstKept = dayOf(clock() - retentionDays * MS_PER_DAY)
  const expired = files.filter(({ day }) => day < firstKept)
  const living = new Set(files.filter(({ day }) => day >= firstKept).map(({ writer }) => writer))
  for (const file of expired) {
    const { path, name } = file
    await rm(path, { force: true })
    await rm(sumsPathOf(file), { force: true })
    log.info({ event: 'audit.expired', target: name }, 'deleted audit records past the retention')
  }
  // A writer of whom nothing is left does not go on: its next record would be the first again.
  for (const writer of new Set(expired.map(({ writer }) => writer))) {
    if (!living.has(writer)) lockWriter(dir, writer)?.releaseAndRemove()
  }
}

/** Sweeps every hour. Gives the function that stops it. */
export function scheduleRetention(options: RetentionOptions): () => void {
  const timer = setInterval(() => {
    deleteExpiredFiles(options).catch((error: unknown) =>
      options.log.error({ event: 'audit.sweep_failed', err: error }, 'old audit files stay'),
    )
  }, SWEEP_EVERY_MS).unref()
  return () => clearInterval(timer)
}
