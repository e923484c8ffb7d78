import type { KeyObject } from 'node:crypto'
import type { Clock } from '../kernel/clock.ts'
import { AppError, AuthError } from '../kernel/errors.ts'
import type { Log } from '../kernel/log.ts'
import type { CheckResult } from '../kernel/ops-server.ts'
import {
  fetchJwks,
  importKeys,
  withoutKeys,
  type JwksPlace,
  type JwksSnapshot,
  type PublishedKeys,
} from './jwks-snapshot.ts'

/** Where a verifier gets its keys from. */
export type KeySource = {
  /** The key with that kid if it is at hand. */
  find: (kid: string) => KeyObject | undefined
  /**
   * Looks for it at the issuer. AuthError `invalid_token` when the issuer does not publish it, AppError
   * `temporarily_unavailable` when that cannot be known.
   */
  fetch: (kid: string) => Promise<KeyObject>
}

export type RemoteJwks = KeySource & {
  /** Starts a fetch when there are no keys or they are older than the issuer's max-age; call it every second or so. */
  refreshIfDue: () => void
  /** Since when the keys at hand are what the issuer publishes; undefined before the first success. */
  ageSeconds: () => number | undefined
  isUsable: () => boolean
  /** Whether tokens can be verified, and if not, why. */
  readiness: () => CheckResult
  /** By how much the issuer's clock was ahead of ours at the last fetch, to about a second. */
  issuerAheadSeconds: () => number | undefined
  /** For a key that somebody else has: it is gone at once and never comes back, and its successor is fetched. */
  drop: (kid: string) => void
  /** What is known from before; it is fetched again all the same. */
  restore: (published: PublishedKeys) => void
  /** What is known now, if it may be relied on. */
  published: () => PublishedKeys | undefined
  /** Calls back after each change of what is known, its age included. */
  onChange: (listener: () => void) => void
}

export type RemoteJwksOptions = JwksPlace & {
  /** The least time between two fetches, whether they succeed or not. */
  cooldownSeconds: number
  /** For how long keys stay usable while the issuer cannot be reached. */
  maxStaleSeconds: number
  /** Keys that were fetched before are not relied on: nobody knows which of them were revoked since. In milliseconds. */
  reliableSinceMs?: () => number
  clock: Clock
  log: Log
}

const LONGEST_MAX_AGE_SECONDS = 3600
/** The issuer revokes a key before it takes it away: so often it is asked, once a second, whether it has. */
const URGENT_ATTEMPTS = 30

/**
 * The issuer's JWKS, kept fresh in the background. Good keys never wait for the network, keys outlive an issuer outage
 * up to a ceiling, and however many unknown kids come in, there is one fetch per cooldown.
 */
export function createRemoteJwks(options: RemoteJwksOptions): RemoteJwks {
  const { clock, cooldownSeconds, maxStaleSeconds, log } = options
  const { reliableSinceMs = () => -Infinity } = options
  const dropped = new Set<string>()
  const listeners = new Set<() => void>()
  let snapshot: JwksSnapshot | undefined
  let maxAgeSeconds = 0
  let aheadSeconds: number | undefined
  let running: Promise<void> | undefined
  let lastAttemptAtMs = -Infinity
  let hasLastAttemptFailed = false
  let urgentAttempts = 0

  const ageSeconds = () => snapshot && (clock() - snapshot.fetchedAtMs) / 1000
  const isUsable = () =>
    snapshot !== undefined &&
    clock() - snapshot.fetchedAtMs <= maxStaleSeconds * 1000 &&
    snapshot.fetchedAtMs >= reliableSinceMs()
  /** An issuer whose keys are fresh for less asks to be fetched from as often: a key may sign two max-ages after it is published. */
  const waitSeconds = () =>
    hasLastAttemptFailed ? cooldownSeconds : Math.min(cooldownSeconds, maxAgeSeconds)
  const cooldownLeftSeconds = () => waitSeconds() - (clock() - lastAttemptAtMs) / 1000

  function learn(next: JwksSnapshot): void {
    snapshot = withoutKeys(next, dropped)
    for (const listener of listeners) listener()
  }

  async function attemptFetch(): Promise<void> {
    lastAttemptAtMs = clock()
    urgentAttempts = Math.max(0, urgentAttempts - 1)
    try {
      const fetched = await fetchJwks(options, clock)
      if (![...fetched.keys.keys()].some((kid) => dropped.has(kid))) urgentAttempts = 0
      // However long the issuer allows, keys are fetched again well before they may no longer be used.
      maxAgeSeconds = Math.min(fetched.maxAgeSeconds, maxStaleSeconds / 2, LONGEST_MAX_AGE_SECONDS)
      aheadSeconds = fetched.issuerAheadSeconds
      hasLastAttemptFailed = false
      learn(fetched)
    } catch (error) {
      hasLastAttemptFailed = true
      log.warn(
        { event: 'jwks.fetch_failed', url: options.jwksUrl ?? options.issuer, err: error },
        'cannot fetch the JWKS',
      )
    } finally {
      running = undefined
    }
  }

  /** Joins the fetch under way, or starts one unless the last was too recent. */
  function refresh({ isUrgent = false } = {}): Promise<void> | undefined {
    if (running === undefined && (isUrgent || cooldownLeftSeconds() <= 0)) running = attemptFetch()
    return running
  }

  const find = (kid: string) => (isUsable() ? snapshot?.keys.get(kid) : undefined)

  return {
    find,
    ageSeconds,
    isUsable,
    readiness() {
      const why = hasLastAttemptFailed ? 'the issuer cannot be asked for them' : undefined
      const age = ageSeconds()
      const aged = age === undefined ? 'no signing keys yet' : `keys of ${Math.round(age)} s ago`
      const detail = [aged, why].filter((part) => part !== undefined).join(': ')
      if (!isUsable()) return { status: 'unavailable', detail }
      return why === undefined ? { status: 'ok' } : { status: 'ok', detail }
    },
    issuerAheadSeconds: () => aheadSeconds,
    published: () => (snapshot === undefined || !isUsable() ? undefined : publishedOf(snapshot)),
    onChange: (listener) => void listeners.add(listener),
    drop(kid) {
      if (dropped.has(kid)) return
      dropped.add(kid)
      urgentAttempts = URGENT_ATTEMPTS
      if (snapshot !== undefined) learn(snapshot)
      log.warn({ event: 'jwks.key_dropped', kid }, 'a signing key was revoked')
      void refresh({ isUrgent: true })
    },
    restore(published) {
      if (snapshot === undefined) learn(importKeys(published))
    },
    refreshIfDue() {
      if (urgentAttempts > 0) return void refresh({ isUrgent: true })
      const isFresh = isUsable() && (ageSeconds() ?? 0) < maxAgeSeconds
      if (!isFresh) void refresh()
    },
    async fetch(kid) {
      await refresh()
      const key = find(kid)
      if (key !== undefined) return key
      const isWaiting = urgentAttempts > 0 && !dropped.has(kid)
      if (hasLastAttemptFailed || isWaiting || !isUsable()) {
        const waitSeconds = isWaiting ? 1 : Math.max(1, Math.ceil(cooldownLeftSeconds()))
        throw new AppError(
          'temporarily_unavailable',
          'The signing keys cannot be fetched right now.',
          { reason: 'keys_unavailable', headers: { 'retry-after': String(waitSeconds) } },
        )
      }
      throw new AuthError('invalid_token', 'The issuer does not publish the key of this token.', {
        reason: 'unknown_kid',
      })
    },
  }
}

const publishedOf = ({ fetchedAtMs, jwks }: JwksSnapshot): PublishedKeys => ({ fetchedAtMs, jwks })
