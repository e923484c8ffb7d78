import type { Log } from '../kernel/log.ts'
import { isSame, type RingStore } from './ring-store.ts'
import type { RingSource } from './ring-source.ts'

const LOOK_INTERVAL_MS = 300

export type LiveRing = RingSource & {
  /** Looks for a change now. */
  look: () => Promise<void>
  close: () => void
}

/** The ring as it is kept, whoever changes it: seen within half a second. While it cannot be read, the last one counts. */
export async function openLiveRing(store: RingStore, log: Log): Promise<LiveRing> {
  let ring = await store.load()
  const listeners = new Set<() => void>()
  const look = async () => {
    const found = await store.load()
    if (isSame(found, ring)) return
    ring = found
    for (const listener of listeners) listener()
  }
  let hasFailed = false
  const timer = setInterval(() => {
    look().then(
      () => {
        hasFailed = false
      },
      (error: unknown) => {
        if (!hasFailed) log.error({ event: 'keys.unreadable', err: error }, 'cannot read the keys')
        hasFailed = true
      },
    )
  }, LOOK_INTERVAL_MS)
  return {
    current: () => ring,
    onChange(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    look,
    close: () => clearInterval(timer),
  }
}
