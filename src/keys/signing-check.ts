import type { CheckResult } from '../kernel/ops-server.ts'
import { startPeriodicCheck } from '../kernel/periodic-check.ts'
import type { KeyHome } from './key-home.ts'
import type { LiveRing } from './live-ring.ts'
import { activeKey } from './ring.ts'

/** A smart card takes up to a second for a signature. */
const INTERVAL_MS = 3000
const SAMPLE = new TextEncoder().encode('readiness')

export type SigningCheck = {
  read: () => CheckResult
  /** Tries the home now. */
  look: () => Promise<void>
  stop: () => void
}

/**
 * Whether tokens can be signed: the ring is read, and the home of its active key, if that has one, makes a signature. Tried at
 * intervals, not seen from requests: an issuer that is left out as it is not ready gets none.
 */
export function watchSigning(
  ring: Pick<LiveRing, 'current' | 'isReadable'>,
  home: KeyHome | undefined,
): SigningCheck {
  const homeCheck =
    home &&
    startPeriodicCheck({
      name: `the home of the keys, ${home.name},`,
      ask: async () => {
        const address = activeKey(ring.current()).home
        if (address !== undefined) await home.sign(address.keyId, SAMPLE)
      },
      intervalMs: INTERVAL_MS,
    })
  return {
    read() {
      if (!ring.isReadable()) {
        return { status: 'unavailable', detail: 'the key ring cannot be read' }
      }
      return homeCheck?.read() ?? { status: 'ok' }
    },
    look: async () => homeCheck?.look(),
    stop: () => homeCheck?.stop(),
  }
}
