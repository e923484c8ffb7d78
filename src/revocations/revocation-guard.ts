import { AppError, AuthError } from '../kernel/errors.ts'
import type { Log } from '../kernel/log.ts'
import type { CheckResult } from '../kernel/ops-server.ts'
import type { LiveRevocations } from './live-revocations.ts'
import type { RevocableToken } from './revocation-view.ts'

/** What stands between a token whose signature is good and what it would open. */
export type RevocationGuard = {
  /**
   * AuthError `invalid_token` when the token is revoked; AppError `temporarily_unavailable` when too much may have been
   * missed to know, and the guard is to fail closed.
   */
  requireNotRevoked: (token: RevocableToken) => void
  isRevoked: (token: RevocableToken) => boolean
  onRevocation: LiveRevocations['onRevocation']
  /** Since when something may have been missed; NaN where nothing is checked. */
  lagSeconds: () => number
  readiness: () => CheckResult
  /** Logs when the view becomes stale and when it is well again; call it every second or so. */
  watch: () => void
}

export type GuardOptions = {
  maxStalenessSeconds: number
  onStale: 'fail_closed' | 'continue'
  log: Log
}

const RETRY_AFTER_SECONDS = '1'

export function createRevocationGuard(
  live: LiveRevocations,
  options: GuardOptions,
): RevocationGuard {
  const { maxStalenessSeconds, onStale, log } = options
  let wasStale = false
  const isStale = () => live.stalenessSeconds() > maxStalenessSeconds
  return {
    isRevoked: live.isRevoked,
    onRevocation: live.onRevocation,
    lagSeconds: live.stalenessSeconds,

    requireNotRevoked(token) {
      if (live.isRevoked(token)) throw revoked()
      if (onStale === 'continue' || !isStale()) return
      throw new AppError('temporarily_unavailable', 'It is not known what was revoked.', {
        reason: 'revocations_stale',
        headers: { 'retry-after': RETRY_AFTER_SECONDS },
      })
    },

    readiness() {
      if (!isStale()) return { status: 'ok' }
      const detail = 'the revocation log was not heard of for too long'
      return { status: onStale === 'continue' ? 'ok' : 'unavailable', detail }
    },

    watch() {
      if (isStale() === wasStale) return
      wasStale = !wasStale
      if (!wasStale) log.info({ event: 'revocations.fresh' }, 'the revocation log is heard again')
      else if (onStale === 'continue') {
        log.error({ event: 'revocations.stale' }, 'revoked tokens may pass: revocations.onStale')
      } else log.error({ event: 'revocations.stale' }, 'no token is accepted: the log is stale')
    },
  }
}

/** For `revocations.feed: off`: a revoked token passes until it expires. */
export function createOpenGuard(): RevocationGuard {
  return {
    requireNotRevoked: () => undefined,
    isRevoked: () => false,
    onRevocation: () => () => undefined,
    lagSeconds: () => Number.NaN,
    readiness: () => ({ status: 'ok', detail: 'revocations are not checked' }),
    watch: () => undefined,
  }
}

export function revoked(): AuthError {
  return new AuthError('invalid_token', 'The access token has been revoked.', { reason: 'revoked' })
}
