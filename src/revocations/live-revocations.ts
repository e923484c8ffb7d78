import { epochSeconds, type Clock } from '../kernel/clock.ts'
import { isSpent, LONGEST_TOKEN_SECONDS, type Revocation } from './revocation.ts'
import { createRevocationView, type RevocableToken } from './revocation-view.ts'

/** An entry as the log has it; ids of one log only ever grow. */
export type LoggedRevocation = { readonly id: string; readonly entry: Revocation }

/** In milliseconds. */
export type HeardUntil = { completeAtMs: number; missedUntilMs: number }

export type RevocationListener = (news: readonly LoggedRevocation[]) => void

/** What is revoked, as far as this process has heard. */
export type LiveRevocations = {
  isRevoked: (token: RevocableToken) => boolean
  /** Since when something may have been missed; Infinity until the whole log has been seen once. */
  stalenessSeconds: () => number
  /** Calls back with each batch of new entries, once they count. Gives the function that ends it. */
  onRevocation: (listener: RevocationListener) => () => void
  /** Every entry that still matters, in the order of the log. */
  entries: () => readonly LoggedRevocation[]
  /**
   * Up to when (milliseconds) something may have been missed for good, as the log had forgotten it when it was heard again;
   * -Infinity for nothing. No token can be alive that it spoke of, but a key may be at hand that was stolen then.
   */
  missedUntilMs: () => number
}

/** The same for whoever feeds it. */
export type FedRevocations = LiveRevocations & {
  receive: (news: readonly LoggedRevocation[]) => void
  /** The source has said that this is all there is. */
  markComplete: () => void
  /** What was received was complete as of then, for a process that has ended since. */
  resume: (from: HeardUntil) => void
  /** As of when that was said last, in milliseconds; -Infinity before the first time. */
  completeAtMs: () => number
}

export function createLiveRevocations(clock: Clock): FedRevocations {
  const view = createRevocationView()
  const listeners = new Set<RevocationListener>()
  /** By id and content: a source that starts over tells the same again, and one that was replaced reuses ids. */
  const log = new Map<string, LoggedRevocation>()
  let completeAtMs = -Infinity
  let missedUntilMs = -Infinity
  let forgotAtMinute = -Infinity

  /** Once a minute is enough: what is spent changes no answer, it only takes room. */
  const forgetSpent = (): void => {
    const now = epochSeconds(clock)
    const minute = Math.floor(now / 60)
    if (minute === forgotAtMinute) return
    forgotAtMinute = minute
    view.forgetSpent(now)
    for (const [key, { entry }] of log) if (isSpent(entry, now)) log.delete(key)
  }

  return {
    isRevoked: (token) => view.isRevoked(token, epochSeconds(clock)),
    stalenessSeconds: () => Math.max(0, (clock() - completeAtMs) / 1000),
    onRevocation(listener) {
      listeners.add(listener)
      return () => void listeners.delete(listener)
    },
    entries: () => [...log.values()],
    missedUntilMs: () => missedUntilMs,

    receive(news) {
      if (news.length === 0) return
      const now = epochSeconds(clock)
      for (const logged of news) {
        view.add(logged.entry, now)
        if (!isSpent(logged.entry, now)) log.set(keyOf(logged), logged)
      }
      for (const listener of listeners) listener(news)
    },

    completeAtMs: () => completeAtMs,

    markComplete() {
      const rememberedSinceMs = clock() - LONGEST_TOKEN_SECONDS * 1000
      if (completeAtMs < rememberedSinceMs) missedUntilMs = rememberedSinceMs
      completeAtMs = clock()
      forgetSpent()
    },

    resume(from) {
      completeAtMs = from.completeAtMs
      missedUntilMs = from.missedUntilMs
      forgetSpent()
    },
  }
}

const keyOf = ({ id, entry }: LoggedRevocation): string =>
  JSON.stringify([id, entry.kind, entry.value, entry.issued_before, entry.exp])
