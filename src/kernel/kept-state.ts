import type { z } from 'zod'
import type { AuthenticatedFile } from './authenticated-file.ts'
import type { Clock } from './clock.ts'
import type { Log } from './log.ts'

export type LoadKeptOptions<T> = {
  writtenAtMs: (value: T) => number
  clock: Clock
  log: Log
}

/**
 * What the process before has left, if it can be relied on. What is damaged, unreadable, of another version or from the
 * future (the clock went backwards) is left aside with a warning: it may cost an outage, never a decision.
 */
export async function loadKept<T>(
  file: AuthenticatedFile,
  schema: z.ZodType<T>,
  { writtenAtMs, clock, log }: LoadKeptOptions<T>,
): Promise<T | undefined> {
  const leaveAside = (reason: string, err?: unknown): undefined => {
    const fields = { event: 'cache.ignored', reason, target: file.path, err }
    log.warn(fields, 'what was kept on disk is not used')
  }
  try {
    const loaded = await file.load()
    if (loaded === undefined) return undefined
    if (loaded === 'damaged') return leaveAside('damaged_or_of_another_key')
    const parsed = schema.safeParse(loaded.value)
    if (!parsed.success) return leaveAside('other_version')
    if (writtenAtMs(parsed.data) > clock()) return leaveAside('clock_went_backwards')
    return parsed.data
  } catch (error) {
    return leaveAside('unreadable', error)
  }
}

/** Says once that nothing can be kept: the proxy works as well, until it is restarted during an outage. */
export function saveFailed(file: AuthenticatedFile, log: Log): (error: unknown) => void {
  let isSaid = false
  return (err) => {
    if (isSaid) return
    isSaid = true
    const fields = { event: 'cache.unwritable', target: file.path, err }
    log.warn(fields, 'nothing is kept on disk for a restart during an outage')
  }
}
