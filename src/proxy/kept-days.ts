import { z } from 'zod'
import type { Log } from '../kernel/log.ts'
import { createPacedWrites } from '../kernel/paced-writes.ts'
import { readPrivateFile, writePrivateFile } from '../kernel/private-file.ts'
import { isDaily, type Accounts, type RecallingCounters } from '../store/counters.ts'
import type { MemoryCounters } from '../store/memory-counters.ts'

export type KeptCounters = RecallingCounters & { close: () => Promise<void> }

const count = z.int().nonnegative()
const fileSchema = z.strictObject({
  version: z.literal(1),
  days: z.array(
    z.tuple([
      z.string(),
      z.strictObject({
        day: count,
        requests: count,
        tokens: count,
        settled: count,
        // Files of before it was kept have none.
        meanBefore: count.default(0),
      }),
    ]),
  ),
})

const PAUSE_MS = 1000

/**
 * Counters whose days outlive the process, in a file of its owner alone that is replaced about once a second. What was
 * counted since then is lost when the process is killed. A file that cannot be read or written costs a warning.
 */
export async function keepDays(
  path: string,
  counters: MemoryCounters,
  log: Log,
): Promise<KeptCounters> {
  await restore(path, counters, log)
  let isSaid = false
  const writes = createPacedWrites(
    () => writePrivateFile(path, JSON.stringify({ version: 1, days: counters.days() })),
    {
      pauseMs: PAUSE_MS,
      onFailure(err) {
        if (isSaid) return
        isSaid = true
        log.warn(
          { event: 'limits.unkept', target: path, err },
          'a restart will forget the daily use',
        )
      },
    },
  )
  const keep = ({ accounts }: Accounts) => {
    if (accounts.some(isDaily)) writes.request()
  }
  return {
    enter(of, lease, use) {
      const entered = counters.enter(of, lease, use)
      if (entered.isLetIn) keep(of)
      return entered
    },
    leave(of, lease, how) {
      counters.leave(of, lease, how)
      keep(of)
    },
    useUp: counters.useUp,
    read: counters.read,
    recall: counters.recall,
    close: writes.close,
  }
}

async function restore(path: string, counters: MemoryCounters, log: Log): Promise<void> {
  try {
    const text = await readPrivateFile(path)
    if (text !== undefined) counters.restoreDays(fileSchema.parse(JSON.parse(text)).days)
  } catch (err) {
    const fields = { event: 'limits.forgotten', target: path, err }
    log.warn(fields, 'the daily use of callers begins anew: what was kept cannot be read')
  }
}
