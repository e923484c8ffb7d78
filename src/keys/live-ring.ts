import type { Log } from '../kernel/log.ts'
import { isSame, type RingStore } from './ring-store.ts'
import type { RingSource } from './ring-source.ts'

const LOOK_INTERVAL_MS = 300
/** A restart of Redis, or a look that is slow, is no reason to be taken out of service. */
const UNREADABLE_AFTER_FAILURES = 10

export type LiveRing = RingSource & {
  /** Looks for a change now. */
  look: () => Promise<void>
  /** Whether it was read a moment ago. */
  isReadable: () => boolean
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
  let failures = 0
  const timer = setInterval(() => {
    look().then(
      () => {
        failures = 0
      },
      (error: unknown) => {
        failures += 1
        if (failures > 1) return
        log.error({ event: 'keys.unreadable', err: error }, 'cannot read the keys')
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
    isReadable: () => failures < UNREADABLE_AFTER_FAILURES,
    close: () => clearInterval(timer),
  }
}
