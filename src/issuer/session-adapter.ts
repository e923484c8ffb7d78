import type { Adapter } from 'oidc-provider'
import { createExpiringRecords } from './expiring-records.ts'
import { createOnceAdapter, recordOf, restore, type KeepingOptions } from './once-adapter.ts'

/**
 * Sessions, found by the cookie's value, or by their `uid`, which opens nothing: what is found by it has no cookie value
 * and is there to be looked at.
 */
export function createSessionAdapter(options: KeepingOptions): Adapter {
  const { store, clock, hidden } = options
  const records = createExpiringRecords(store, 'Session', clock)
  const uids = createExpiringRecords(store, 'session-uid', clock)
  const sessions = createOnceAdapter('Session', options, () => {
    throw new Error('a session is not consumed')
  })
  return {
    ...sessions,
    async upsert(id, payload, ttlSeconds = 0) {
      await sessions.upsert(id, payload, ttlSeconds)
      const { uid } = payload
      if (uid === undefined) return
      const entry = recordOf({ uid: hidden.idOf('Session', id) }, ttlSeconds, clock)
      await uids.write(hidden.idOf('session-uid', uid), entry, 'any')
    },
    async findByUid(uid) {
      const found = await uids.read(hidden.idOf('session-uid', uid))
      return found && restore(await records.read(found.payload.uid ?? ''), { uid })
    },
  }
}
