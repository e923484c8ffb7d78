import type { RevocationGuard } from '../revocations/revocation-guard.ts'
import { revoked } from '../revocations/revocation-guard.ts'
import type { Call } from './call.ts'

/** Calls that a token has let in and that are not over. */
export type RunningCalls = { add: (call: Call) => void; remove: (call: Call) => void }

/** Ends each of them as soon as its token is revoked, wherever it is: nobody goes on using the model server. */
export function createRunningCalls(
  revocations: Pick<RevocationGuard, 'isRevoked' | 'onRevocation'>,
): RunningCalls {
  const running = new Set<Call>()
  revocations.onRevocation(() => {
    for (const call of running) {
      const { caller } = call
      if (caller !== undefined && revocations.isRevoked(caller.token)) call.abort.abort(revoked())
    }
  })
  return { add: (call) => running.add(call), remove: (call) => running.delete(call) }
}
