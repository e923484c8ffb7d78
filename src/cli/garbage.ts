import { availableParallelism } from 'node:os'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

/** On one core, threads that help to collect garbage only take turns with the one that waits for them. */
export function collectGarbageAlone(): void {
  if (availableParallelism() === 1) setFlagsFromString('--single-threaded-gc')
}

/** Collects what has become garbage soon after it was made: half a millisecond. Only a new context knows of it by then. */
export function createYoungCollection(): () => void {
  setFlagsFromString('--expose-gc')
  const collect: unknown = runInNewContext('gc')
  if (typeof collect !== 'function') return () => undefined
  return () => void Reflect.apply(collect, undefined, [{ type: 'minor' }])
}
