/**
 * Whether a model server may be used, as a pure state machine: what was seen of it goes in, its next state comes out.
 * Times are in milliseconds of any clock that does not jump.
 */
export type Health =
  | {
      state: 'usable'
      /** How many requests that gave it work were broken off in a row, without an answer to any. */
      breaks: number
    }
  | {
      state: 'ejected'
      reason: EjectionReason
      /** What exactly was seen, for the operator: the code of an error, a status. */
      detail: string
      /** From when on one request may try whether it is well again. */
      triableFromMs: number
    }

/** `no_progress`, `broken_off`: it takes requests and answers none, which its health endpoint need not notice. */
export type EjectionReason = 'unreachable' | 'no_progress' | 'broken_off' | 'check_failed'

export type Observation =
  /** The first byte of an answer, to a request that gave it work or to a mere question. */
  | { kind: 'answered'; isWork: boolean }
  /** No connection, or none that would have taken a request. */
  | { kind: 'unreachable'; detail: string }
  /** A request got nothing for as long as it may wait; the last byte of an answer to work came at `lastSignMs`. */
  | { kind: 'stalled'; detail: string; deadlineMs: number; lastSignMs: number }
  /** A request that gave it work was broken off before an answer came. */
  | { kind: 'broken_off'; detail: string }
  | { kind: 'check_passed' }
  | { kind: 'check_failed'; detail: string }
  /** The request that went there although it is ejected is over, and was not answered. */
  | { kind: 'trial_ended' }

export type Circumstances = {
  nowMs: number
  /** Whether another model server may be used: the last one is not ejected for what its requests met. */
  isOtherUsable: boolean
  /** Without active checks a request has to find out whether it can be reached again. */
  hasChecks: boolean
}

/** How soon after an ejection, or a trial without an answer, it is tried again. */
export const TRIAL_AFTER_MS = 1000

/** One may be the request's own fault. */
const BREAKS_TO_EJECT = 3

export const USABLE: Health = { state: 'usable', breaks: 0 }

export function nextHealth(health: Health, seen: Observation, now: Circumstances): Health {
  switch (seen.kind) {
    case 'answered':
      // Questions like `GET /v1/models` are answered beside an engine that is stuck.
      if (!seen.isWork && (health.state === 'usable' || needsWork(health))) return health
      return health.state === 'usable' || isTriable(health, now) ? USABLE : health
    case 'check_passed':
      return health.state === 'usable' || needsWork(health) ? health : USABLE
    case 'check_failed':
      return ejected('check_failed', seen.detail, now)
    case 'unreachable':
      return onFailure(health, 'unreachable', seen.detail, now)
    case 'stalled':
      // A long answer beside others that come is its own affair.
      if (health.state === 'usable' && now.nowMs - seen.lastSignMs < seen.deadlineMs) return health
      return onFailure(health, 'no_progress', seen.detail, now)
    case 'broken_off': {
      if (health.state === 'ejected') return health
      const breaks = health.breaks + 1
      const isTooMuch = breaks >= BREAKS_TO_EJECT && now.isOtherUsable
      return isTooMuch ? ejected('broken_off', seen.detail, now) : { ...health, breaks }
    }
    case 'trial_ended':
      return health.state === 'usable' ? health : { ...health, triableFromMs: triableAfter(now) }
  }
}

/** Whether a request may go to a model server that is ejected: one, if none does already. */
export function isDueForTrial(health: Health, now: Circumstances): boolean {
  return isTriable(health, now) && now.nowMs >= health.triableFromMs
}

/** What a check can clear is left to it: callers are not to meet the failure. */
function isTriable(
  health: Health,
  { hasChecks }: Circumstances,
): health is Exclude<Health, { state: 'usable' }> {
  return health.state === 'ejected' && (needsWork(health) || !hasChecks)
}

function onFailure(
  health: Health,
  reason: EjectionReason,
  detail: string,
  now: Circumstances,
): Health {
  // What a check has found stands until a check finds otherwise.
  if (isReason(health, 'check_failed')) return health
  if (health.state === 'usable' && !now.isOtherUsable) return health
  return ejected(reason, detail, now)
}

/** Only by answering work it shows that it is well again. */
const needsWork = (health: Health): boolean =>
  isReason(health, 'no_progress') || isReason(health, 'broken_off')

const isReason = (health: Health, reason: EjectionReason): boolean =>
  health.state === 'ejected' && health.reason === reason

function ejected(reason: EjectionReason, detail: string, now: Circumstances): Health {
  return { state: 'ejected', reason, detail, triableFromMs: triableAfter(now) }
}

const triableAfter = ({ nowMs }: Circumstances): number => nowMs + TRIAL_AFTER_MS
