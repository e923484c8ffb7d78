import { setTimeout as pause } from 'node:timers/promises'
import { AppError } from '../kernel/errors.ts'
import type { Log } from '../kernel/log.ts'
import type { LiveRing } from './live-ring.ts'
import { activeKey, type Ring } from './ring.ts'
import type { RingStore } from './ring-store.ts'

const MAX_ATTEMPTS = 40
const PAUSE_MS = 25

export type ChangeRing = (decide: (ring: Ring) => Ring) => Promise<Ring>

/**
 * Changes the ring as `decide` says, again and again while others are faster, and gives what is kept then. `decide` may
 * also refuse by throwing, or leave the ring as it is by giving the very same.
 */
export function createRingChanges(options: {
  ring: RingStore
  live: LiveRing
  log: Log
}): ChangeRing {
  const { ring, live, log } = options
  return async function changeRing(decide) {
    for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt += 1) {
      if (attempt > 0) await pause(PAUSE_MS)
      const from = await ring.load()
      const to = decide(from)
      if (to === from) return from
      if (!(await ring.replace(from, to))) continue
      log.info({ event: 'keys.changed', kid: activeKey(to).kid }, 'the key ring changed')
      await live.look()
      return to
    }
    throw new AppError('temporarily_unavailable', 'Others are changing the keys.', {
      reason: 'ring_contended',
      headers: { 'retry-after': '1' },
    })
  }
}
