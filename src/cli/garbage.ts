import { availableParallelism } from 'node:os'
import { setFlagsFromString } from 'node:v8'

/** On one core, threads that help to collect garbage only take turns with the one that waits for them. */
export function collectGarbageAlone(): void {
  if (availableParallelism() === 1) setFlagsFromString('--single-threaded-gc')
}
