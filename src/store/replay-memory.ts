import type { Clock } from '../kernel/clock.ts'
import { AppError } from '../kernel/errors.ts'
import type { SingleUse } from './counters.ts'

/** Says whether something is unused, which it is no more from then on. */
export type ReplayMemory = (use: SingleUse) => boolean

const MAX_REMEMBERED = 500_000

/**
 * A memory for a process that stands alone. When it is full it refuses (AppError `temporarily_unavailable`): forgetting
 * what is still good would let it be used again.
 */
export function createReplayMemory(clock: Clock, maxRemembered = MAX_REMEMBERED): ReplayMemory {
  // In the order in which they came, which is that of their ends as long as all have one lifetime.
  const endsAtMs = new Map<string, number>()

  function forgetEnded(): void {
    for (const [id, endMs] of endsAtMs) {
      if (endMs > clock()) return
      endsAtMs.delete(id)
    }
  }

  return function isUnused({ id, ttlSeconds }) {
    forgetEnded()
    if ((endsAtMs.get(id) ?? 0) > clock()) return false
    if (endsAtMs.size >= maxRemembered) {
      throw new AppError('temporarily_unavailable', 'Too many DPoP proofs at this time.', {
        reason: 'replay_memory_full',
        headers: { 'retry-after': '60' },
      })
    }
    endsAtMs.delete(id)
    endsAtMs.set(id, clock() + ttlSeconds * 1000)
    return true
  }
}
