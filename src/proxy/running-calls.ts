import type { RevocationGuard } from '../revocations/revocation-guard.ts'
import { revoked } from '../revocations/revocation-guard.ts'
import type { Call } from './call.ts'

/** Calls that are not over: whose caller may still be unknown, or gone. */
export type RunningCalls = {
  add: (call: Call) => void
  remove: (call: Call) => void
  /** Resolves when there is none. */
  over: () => Promise<void>
}

/** Ends each of them as soon as its token is revoked, wherever it is: nobody goes on using the model server. */
export function createRunningCalls(
  revocations: Pick<RevocationGuard, 'isRevoked' | 'onRevocation'>,
): RunningCalls {
  const running = new Set<Call>()
  const waiting: (() => void)[] = []
  revocations.onRevocation(() => {
    for (const call of running) {
      const { caller } = call
      if (caller !== undefined && revocations.isRevoked(caller.token)) call.abort.abort(revoked())
    }
  })
  return {
    add: (call) => running.add(call),
    remove(call) {
      running.delete(call)
      if (running.size === 0) for (const resolve of waiting.splice(0)) resolve()
    },
    over: () =>
      running.size === 0 ? Promise.resolve() : new Promise((resolve) => waiting.push(resolve)),
  }
}
