import type { SingleUse } from './counters.ts'
import { ConflictError, type Store } from './store.ts'

/**
 * Says of something whether it is unused, which it is no more from then on: true once for everybody who shares the store, also
 * when several ask at the same time. The ids have at most 200 characters of those that the store takes.
 */
export function createUseOnce(
  store: Pick<Store, 'commit'>,
  name: string,
): (use: SingleUse) => Promise<boolean> {
  const collection = { name, layout: 'scattered' } as const
  return async function isUnused({ id, ttlSeconds }) {
    try {
      await store.commit(collection, [
        { kind: 'put', id, value: true, expect: 'absent', lifetime: { ttlSeconds } },
      ])
      return true
    } catch (error) {
      if (error instanceof ConflictError) return false
      throw error
    }
  }
}
