import { AppError } from './errors.ts'
import type { CheckResult } from './ops-server.ts'

export type PeriodicCheckOptions = {
  /** Who is asked, as the operator reads it. */
  name: string
  /** Rejects when it is not well. */
  ask: () => Promise<unknown>
  intervalMs: number
}

export type PeriodicCheck = {
  /** What was said last. */
  read: () => CheckResult
  /** Asks now, unless there is no answer yet to what was asked before. */
  look: () => Promise<void>
  stop: () => void
}

/**
 * Asks at once and at every interval, so that a readiness probe waits for nothing. It is `unavailable` until there is an answer,
 * and when one takes longer than two intervals.
 */
export function startPeriodicCheck({ name, ask, intervalMs }: PeriodicCheckOptions): PeriodicCheck {
  let latest = unavailable(`${name} has not answered yet`)
  let isAsked = false
  let turnsMissed = 0

  async function look(): Promise<void> {
    if (isAsked) {
      turnsMissed += 1
      if (turnsMissed > 1) latest = unavailable(`${name} does not answer in time`)
      return
    }
    isAsked = true
    turnsMissed = 0
    try {
      await ask()
      latest = { status: 'ok' }
    } catch (error) {
      const reason = error instanceof AppError ? error.reason : 'a bug'
      latest = unavailable(`${name} does not answer (${reason})`)
    } finally {
      isAsked = false
    }
  }

  const timer = setInterval(() => void look(), intervalMs)
  void look()
  return { read: () => latest, look, stop: () => clearInterval(timer) }
}

function unavailable(detail: string): CheckResult {
  return { status: 'unavailable', detail }
}
