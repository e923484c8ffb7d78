import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

/** Collects what has become garbage soon after it was made: half a millisecond. Only a new context knows of it by then. */
export function createYoungCollection(): () => void {
  setFlagsFromString('--expose-gc')
  const collect: unknown = runInNewContext('gc')
  if (typeof collect !== 'function') return () => undefined
  return () => void Reflect.apply(collect, undefined, [{ type: 'minor' }])
}
