import type { CheckResult } from '../kernel/ops-server.ts'

/** Operators go on to be answered until the last call is over; then those whom they ask get so long. */
export const OPS_DRAIN_SECONDS = 1

/** Says that no new requests should come, while those that have come are still answered. */
export function createDraining(): { begin: () => void; readiness: () => CheckResult } {
  let hasBegun = false
  return {
    begin() {
      hasBegun = true
    },
    readiness: () =>
      hasBegun ? { status: 'unavailable', detail: 'it is draining' } : { status: 'ok' },
  }
}
