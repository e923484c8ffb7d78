import type { Clock } from '../kernel/clock.ts'
import type { Log } from '../kernel/log.ts'
import { dayOf } from './audit-files.ts'
import { createFileUsage } from './usage-of-files.ts'

export type KeepUsageSumsOptions = { dir: string; clock: Clock; log: Log }

const MS_PER_DAY = 86_400_000
const KEEP_EVERY_MS = 3_600_000

/** Sums up what came yesterday and today, so that a report over many days finds their sums made. */
export async function keepUsageSums({ dir, clock }: KeepUsageSumsOptions): Promise<void> {
  const period = { from: dayOf(clock() - MS_PER_DAY), to: dayOf(clock()) }
  for await (const _sums of createFileUsage(dir, { keepsSums: true })(period));
}

/** Does so every hour. Gives the function that stops it. */
export function scheduleUsageSums(options: KeepUsageSumsOptions): () => void {
  const timer = setInterval(() => {
    keepUsageSums(options).catch((error: unknown) =>
      options.log.error({ event: 'audit.sums_failed', err: error }, 'usage was not summed up'),
    )
  }, KEEP_EVERY_MS).unref()
  return () => clearInterval(timer)
}
