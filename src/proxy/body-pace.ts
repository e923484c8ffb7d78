import { scheduleOnLoop, type Schedule } from '../kernel/schedule.ts'

/** What a body must bring while it keeps a place at a model server from others. */
export type LeastRate = { graceMs: number; bytesPerSecond: number }

/** Half a megabit is what a weak mobile link sends: a photo of 5 MB may take 88 s. A link needs a while to get going. */
export const LEAST_RATE: LeastRate = { graceMs: 10_000, bytesPerSecond: 64_000 }

export type BodyPaceOptions = {
  /** How long nothing may come. */
  idleMs: number
  leastRate: LeastRate
  /** Is called once, unless stopped before. */
  onLate: () => void
  /** In milliseconds from any start, and never set back. */
  monotonicMs?: () => number
  schedule?: Schedule
}

export type BodyPace = {
  came: (bytes: number) => void
  /** It is not the sender who is waited for. */
  pause: () => void
  resume: () => void
  stop: () => void
}

/** A timer is not set exactly for what little is left when a pause begins, but for no less than this. */
const LEAST_WAIT_MS = 100

/**
 * Watches how a body comes, from now on: it is late when nothing came for `idleMs`, and when after `graceMs` less has come
 * than the rate asks for. Pauses do not count. What came early is credit for what comes later.
 */
export function startBodyPace(options: BodyPaceOptions): BodyPace {
  const { idleMs, leastRate, onLate } = options
  const { monotonicMs = () => performance.now(), schedule = scheduleOnLoop } = options
  let sinceMs = monotonicMs()
  let lastMs = sinceMs
  let pausedAtMs: number | undefined
  let total = 0
  let cancel = schedule(check, leftMs())

  function leftMs(): number {
    const rateMs = leastRate.graceMs + (total / leastRate.bytesPerSecond) * 1000
    const dueMs = Math.min(lastMs + idleMs, sinceMs + rateMs)
    return dueMs - (pausedAtMs ?? monotonicMs())
  }

  /** What comes only puts off when it is due, so that the timer need not be set anew each time. */
  function check(): void {
    const left = leftMs()
    if (left <= 0 && pausedAtMs === undefined) onLate()
    else cancel = schedule(check, Math.max(left, pausedAtMs === undefined ? 0 : LEAST_WAIT_MS))
  }

  return {
    came(bytes) {
      total += bytes
      lastMs = monotonicMs()
    },
    pause() {
      pausedAtMs ??= monotonicMs()
    },
    resume() {
      if (pausedAtMs === undefined) return
      const nowMs = monotonicMs()
      sinceMs += nowMs - pausedAtMs
      lastMs = nowMs
      pausedAtMs = undefined
    },
    stop: () => cancel(),
  }
}
