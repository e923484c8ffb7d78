import { epochSeconds, type Clock } from '../kernel/clock.ts'
import { UnconfirmedWriteError, type Store } from '../store/store.ts'
import { appendRevocation } from './append-revocation.ts'
import { revokeIssuedUpTo, type Revocation } from './revocation.ts'

export type Revokable = { kind: Exclude<Revocation['kind'], 'jti'>; value: string }
export type RevokeAround = <T>(
  whose: Revokable,
  change: (revoke: () => Promise<void>) => Promise<T>,
) => Promise<T>

/**
 * Runs a change that stops tokens from being issued. It calls `revoke` before it writes, so that a crash in between
 * leaves no token alive; what was issued in between, in a later second, is revoked once the change is made. While no
 * replica confirms what is written, all of it is done nonetheless, as to stop somebody can be urgent; then it fails with
 * an UnconfirmedWriteError.
 */
export function createRevokeAround(store: Store, clock: Clock): RevokeAround {
  return async function revokeAround({ kind, value }, change) {
    let revokedUpTo = 0
    let unconfirmed: UnconfirmedWriteError | undefined
    const noteUnconfirmed = (error: unknown) => {
      if (!(error instanceof UnconfirmedWriteError)) throw error
      unconfirmed = error
    }
    const revoke = async () => {
      const now = epochSeconds(clock)
      await appendRevocation(store, revokeIssuedUpTo(now, kind, value)).catch(noteUnconfirmed)
      revokedUpTo = now
    }
    const [outcome] = await Promise.allSettled([change(revoke)])
    if (outcome.status === 'rejected') noteUnconfirmed(outcome.reason)
    if (epochSeconds(clock) > revokedUpTo) await revoke()
    if (outcome.status === 'rejected') throw outcome.reason
    if (unconfirmed !== undefined) throw unconfirmed
    return outcome.value
  }
}
