import type { RevocationGuard } from '../revocations/revocation-guard.ts'
import { revoked } from '../revocations/revocation-guard.ts'
import type { Call } from './call.ts'

/** Calls that are not over: whose caller may still be unknown, or gone. */
export type RunningCalls = {
  /** To be called once when it is over is what this gives. */
  add: (call: Call) => () => void
  /** Resolves when there is none. */
  over: () => Promise<void>
}

/** Ends each of them as soon as its token is revoked, wherever it is: nobody goes on using the model server. */
export function createRunningCalls(
  revocations: Pick<RevocationGuard, 'isRevoked' | 'onRevocation'>,
): RunningCalls {
  // Not a Set: the tables that one leaves behind keep alive what was in them, and half of each collection was to copy it.
  const places: (Call | undefined)[] = []
  const free: number[] = []
  const waiting: (() => void)[] = []
  const isOver = () => free.length === places.length
  revocations.onRevocation(() => {
    for (const call of places) {
      if (call?.caller !== undefined && revocations.isRevoked(call.caller.token)) {
        call.ending.end(revoked())
      }
    }
  })
  return {
    add(call) {
      const place = free.pop() ?? places.length
      places[place] = call
      return () => {
        places[place] = undefined
        free.push(place)
        if (isOver()) for (const resolve of waiting.splice(0)) resolve()
      }
    },
    over: () => (isOver() ? Promise.resolve() : new Promise((resolve) => waiting.push(resolve))),
  }
}
