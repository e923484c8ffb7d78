import { epochSeconds, type Clock } from '../kernel/clock.ts'
import type { Store } from '../store/store.ts'
import { appendRevocation } from './append-revocation.ts'
import { revokeIssuedUpTo, type Revocation } from './revocation.ts'

export type Revokable = { kind: Exclude<Revocation['kind'], 'jti'>; value: string }
export type RevokeAround = <T>(
  whose: Revokable,
  change: (revoke: () => Promise<void>) => Promise<T>,
) => Promise<T>

/**
 * Runs a change that stops tokens from being issued. It calls `revoke` before it writes, so that a crash in between
 * leaves no token alive; what was issued in between, in a later second, is revoked once the change is made.
 */
export function createRevokeAround(store: Store, clock: Clock): RevokeAround {
  return async function revokeAround({ kind, value }, change) {
    let revokedUpTo = 0
    const revoke = async () => {
      const now = epochSeconds(clock)
      await appendRevocation(store, revokeIssuedUpTo(now, kind, value))
      revokedUpTo = now
    }
    const result = await change(revoke)
    if (epochSeconds(clock) > revokedUpTo) await revoke()
    return result
  }
}
