import { setTimeout as pause } from 'node:timers/promises'
import type { Clock } from '../kernel/clock.ts'
import type { Log } from '../kernel/log.ts'
import type { JournalEntry, Store } from '../store/store.ts'
import {
  createLiveRevocations,
  type FedRevocations,
  type LiveRevocations,
  type LoggedRevocation,
} from './live-revocations.ts'
import { REVOCATIONS, revocationSchema } from './revocation.ts'

export type FollowedRevocations = LiveRevocations & {
  /** Resolves when the whole log has been seen for the first time. */
  caughtUp: Promise<void>
  close: () => void
}

export type FollowOptions = {
  clock: Clock
  log: Log
  heartbeatMs?: number
  /** What is known from before, if anything is. */
  live?: FedRevocations
}

/** Two beats fit into the shortest staleness that can be configured. */
const HEARTBEAT_MS = 500
const RETRY_DELAY_MS = 1000

/**
 * Keeps up with the log in the store: all that was there, then each entry as it is appended. Goes on by itself after an
 * outage, during which `stalenessSeconds` grows.
 */
export function followRevocations(
  store: Pick<Store, 'follow'>,
  { clock, log, heartbeatMs = HEARTBEAT_MS, live = createLiveRevocations(clock) }: FollowOptions,
): FollowedRevocations {
  const closing = new AbortController()
  const { promise: caughtUp, resolve: markCaughtUp } = Promise.withResolvers<void>()
  let after: string | undefined

  async function follow(): Promise<void> {
    const query = { after, heartbeatMs, signal: closing.signal }
    for await (const batch of store.follow(REVOCATIONS, query)) {
      live.receive(batch.flatMap((entry) => parseEntry(entry, log)))
      after = batch.at(-1)?.id ?? after
      if (batch.length > 0) continue
      live.markComplete()
      markCaughtUp()
    }
  }

  async function followForGood(): Promise<void> {
    while (!closing.signal.aborted) {
      await follow().catch((error: unknown) =>
        log.error({ event: 'revocations.feed_failed', err: error }, 'the revocation log is broken'),
      )
      await pause(RETRY_DELAY_MS, undefined, { signal: closing.signal }).catch(() => undefined)
    }
  }
  void followForGood()

  return { ...live, caughtUp, close: () => closing.abort() }
}

/** One entry that a later version wrote must not keep the others from being heard. */
function parseEntry({ id, value }: JournalEntry, log: Log): LoggedRevocation[] {
  const parsed = revocationSchema.safeParse(value)
  if (parsed.success) return [{ id, entry: parsed.data }]
  log.error({ event: 'revocations.entry_unknown', target: id }, 'a revocation was not understood')
  return []
}
