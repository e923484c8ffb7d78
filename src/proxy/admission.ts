import type { Clock } from '../kernel/clock.ts'
import { AppError } from '../kernel/errors.ts'
import { scheduleOnLoop, type Schedule } from '../kernel/schedule.ts'
import type { AccessToken } from '../tokens/access-token.ts'
import { createFairQueue, type Party } from './fair-queue.ts'
import type { Ending } from './ending.ts'
import type { Slot } from './upstream.ts'
import type { Upstreams } from './upstreams.ts'

/** Who asks for a slot: of the call, what can end its wait, and where its length is noted. */
export type Applicant = {
  readonly ending: Ending
  queuedMs: number
}

export type Admission = {
  /**
   * Takes a slot for the caller, at once where one is free and nobody waits. A Promise of one otherwise; it rejects with
   * `temporarily_unavailable` and a `Retry-After` (reason `queue_full`, `queue_timeout`, `token_expires_in_queue`, or
   * `no_upstream`), or with the reason of the call's ending.
   */
  admit: (token: AccessToken, applicant: Applicant) => Slot | Promise<Slot>
  /** Gives the slot back after so long, by which is judged how long others will have to wait. */
  release: (slot: Slot, heldMs: number) => void
  waiting: () => number
}

export type AdmissionOptions = {
  upstreams: Pick<Upstreams, 'take' | 'release' | 'onRoom' | 'capacity'>
  maxWaiting: number
  maxWaitSeconds: number
  clockSkewSeconds: number
  clock: Clock
  /** Is told how long each caller waited, who was admitted or not. */
  observeWait: (seconds: number) => void
  /** In milliseconds from any start, and never set back. */
  monotonicMs?: () => number
  schedule?: Schedule
}

type Waiter = { admit: (slot: Slot) => void; refuse: (reason: unknown) => void }

/** Over so many of the last calls the time in a slot is averaged. */
const AVERAGED_CALLS = 64

/** A tenant may take so many places for each that remains free; a client alone then gets half of all. */
const PLACES_PER_FREE_ONE = 2

/**
 * Lets callers to the model servers as slots become free there, fairly between tenants by the weight in their tokens.
 * Nobody waits in vain where that can be known: not longer than `maxWaitSeconds` or its token lives, and not at all when
 * what waits before it takes longer than that. A tenant may take two places for each that remains free, and a client as
 * many as remain to its tenant: however many wait for one, with whatever clients, the next finds room.
 */
export function createAdmission(options: AdmissionOptions): Admission {
  const { upstreams, maxWaiting, clockSkewSeconds, clock, observeWait } = options
  const { monotonicMs = () => performance.now(), schedule = scheduleOnLoop } = options
  const maxWaitMs = options.maxWaitSeconds * 1000
  const queue = createFairQueue<Waiter>()
  let heldMs = 0
  let averaged = 0
  upstreams.onRoom(admitNext)

  function admitNext(): void {
    while (queue.size() > 0) {
      let slot: Slot | undefined
      try {
        slot = upstreams.take()
      } catch (error) {
        for (let each = queue.next(); each !== undefined; each = queue.next()) each.refuse(error)
        return
      }
      if (slot === undefined) return
      queue.next()?.admit(slot)
    }
  }

  const msToServe = (count: number): number => (count * heldMs) / Math.max(1, upstreams.capacity())

  const expectedWaitMs = (party: Party): number => msToServe(queue.countAhead(party) + 1)

  function refusal(party: Party, reason: keyof typeof REFUSALS): AppError {
    const waitMs = reason === 'token_expires_in_queue' ? 0 : expectedWaitMs(party)
    const seconds = Math.max(1, Math.ceil(waitMs / 1000))
    return new AppError('temporarily_unavailable', REFUSALS[reason], {
      reason,
      headers: { 'retry-after': String(seconds) },
    })
  }

  function requirePlace(party: Party, tokenLivesMs: number): void {
    const leftToTenant =
      PLACES_PER_FREE_ONE * (maxWaiting - queue.size()) - queue.sizeOfTenant(party)
    if (queue.sizeOf(party) >= leftToTenant) throw refusal(party, 'queue_full')
    const patienceMs = Math.min(maxWaitMs, tokenLivesMs)
    // The exact count takes longer, and is needed only when it could make the difference.
    if (msToServe(queue.size() + 1) <= patienceMs) return
    const ahead = queue.countAhead(party)
    // Who is next may be lucky: for how long slots have been taken already, the mean does not say.
    if (ahead === 0 || msToServe(ahead + 1) <= patienceMs) return
    throw refusal(party, tokenLivesMs < maxWaitMs ? 'token_expires_in_queue' : 'queue_full')
  }

  function waitForTurn(token: AccessToken, applicant: Applicant): Promise<Slot> {
    const tokenLivesMs = (token.expiresAt + clockSkewSeconds) * 1000 - clock()
    const { tenantId, clientId, limits } = token
    const party = { tenantId, clientId, weight: limits.weight ?? 1 }
    requirePlace(party, tokenLivesMs)
    const { ending } = applicant
    ending.throwIfEnded()
    const since = monotonicMs()
    return new Promise((resolve, reject) => {
      const settle = (): void => {
        applicant.queuedMs = monotonicMs() - since
        observeWait(applicant.queuedMs / 1000)
        cancelDeadline()
        ending.off(refuse)
        leaveQueue()
      }
      const refuse = (reason: unknown): void => {
        settle()
        reject(reason)
      }
      const onDeadline = (): void => {
        settle()
        const reason = tokenLivesMs < maxWaitMs ? 'token_expires_in_queue' : 'queue_timeout'
        reject(refusal(party, reason))
      }
      const admit = (slot: Slot): void => {
        settle()
        resolve(slot)
      }
      const leaveQueue = queue.enqueue(party, { admit, refuse })
      const cancelDeadline = schedule(onDeadline, Math.min(maxWaitMs, tokenLivesMs))
      ending.on(refuse)
    })
  }

  return {
    admit(token, applicant) {
      const slot = queue.size() === 0 ? upstreams.take() : undefined
      if (slot === undefined) return waitForTurn(token, applicant)
      observeWait(0)
      return slot
    },
    release(slot, held) {
      averaged = Math.min(averaged + 1, AVERAGED_CALLS)
      heldMs += (held - heldMs) / averaged
      upstreams.release(slot)
    },
    waiting: queue.size,
  }
}

const REFUSALS = {
  queue_full: 'The model server has too much to do, and too many wait already.',
  queue_timeout: 'The model server had too much to do for too long.',
  token_expires_in_queue: 'The access token would expire before its turn comes: get a new one.',
}
