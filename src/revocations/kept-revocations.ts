import { z } from 'zod'
import type { AuthenticatedFile } from '../kernel/authenticated-file.ts'
import type { Clock } from '../kernel/clock.ts'
import { loadKept, saveFailed } from '../kernel/kept-state.ts'
import type { Log } from '../kernel/log.ts'
import { createPacedWrites } from '../kernel/paced-writes.ts'
import type { FedRevocations } from './live-revocations.ts'
import { revocationSchema } from './revocation.ts'

const keptSchema = z.strictObject({
  /** As of when this is all there is: only that says for how long it may be relied on. */
  completeAtMs: z.number(),
  missedUntilMs: z.number().nullable(),
  entries: z.array(z.tuple([z.string(), revocationSchema])),
})

export type KeptRevocationsOptions = {
  clock: Clock
  log: Log
  /** How often the age alone is worth a write. */
  intervalMs: number
  pauseMs?: number
}

const PAUSE_MS = 1000
const LOOK_INTERVAL_MS = 500

/**
 * Gives `live` what was known when the process before ended, as old as it is, and then keeps what it knows on disk: after
 * each change, and now and then while nothing changes. What cannot be relied on is left aside with a warning.
 */
export async function keepRevocations(
  file: AuthenticatedFile,
  live: FedRevocations,
  options: KeptRevocationsOptions,
): Promise<{ close: () => Promise<void> }> {
  const { clock, log, intervalMs, pauseMs = PAUSE_MS } = options
  const kept = await loadKept(file, keptSchema, {
    writtenAtMs: ({ completeAtMs }) => completeAtMs,
    clock,
    log,
  })
  if (kept !== undefined) {
    live.receive(kept.entries.map(([id, entry]) => ({ id, entry })))
    const { completeAtMs, missedUntilMs } = kept
    live.resume({ completeAtMs, missedUntilMs: missedUntilMs ?? -Infinity })
  }
  let writtenAtMs = live.completeAtMs()
  const writes = createPacedWrites(
    async () => {
      const completeAtMs = live.completeAtMs()
      const missed = live.missedUntilMs()
      const missedUntilMs = missed === -Infinity ? null : missed
      const entries = live.entries().map(({ id, entry }) => [id, entry])
      await file.save({ completeAtMs, missedUntilMs, entries })
      writtenAtMs = completeAtMs
    },
    { pauseMs, onFailure: saveFailed(file, log) },
  )
  // Before the first word of the source what is on disk says more.
  const requestIfKnown = () => {
    if (live.completeAtMs() !== -Infinity) writes.request()
  }
  const stopListening = live.onRevocation(requestIfKnown)
  const timer = setInterval(() => {
    if (live.completeAtMs() - writtenAtMs >= intervalMs) requestIfKnown()
  }, LOOK_INTERVAL_MS).unref()
  return {
    close: async () => {
      clearInterval(timer)
      stopListening()
      if (live.completeAtMs() > writtenAtMs) requestIfKnown()
      await writes.close()
    },
  }
}
