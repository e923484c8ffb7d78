import type { Adapter, AdapterPayload } from 'oidc-provider'
import { epochSeconds, type Clock } from '../kernel/clock.ts'
import type { Store } from '../store/store.ts'
import { createExpiringRecords, type ExpiringRecord, type ReadRecord } from './expiring-records.ts'
import type { HiddenValues } from './hidden-values.ts'

/** Where an adapter keeps what, and until when. */
export type KeepingOptions = { store: Store; clock: Clock; hidden: HiddenValues }

/** What a model does that none of its own kind is kept of. To revoke a grant's codes and tokens is to revoke the grant. */
export function nothingKept(model: string): Adapter {
  const refuseToKeep = async () => {
    throw new Error(`nothing of the kind ${model} is kept`)
  }
  return {
    find: async () => undefined,
    findByUid: async () => undefined,
    findByUserCode: async () => undefined,
    upsert: refuseToKeep,
    consume: refuseToKeep,
    destroy: async () => undefined,
    revokeByGrantId: async () => undefined,
  }
}

/** What can be used once: whoever is not the first is told so by `lose`, which throws. */
export function createOnceAdapter(
  model: string,
  { store, clock, hidden }: KeepingOptions,
  lose: () => never,
): Adapter {
  const records = createExpiringRecords(store, model, clock)
  const idOf = (id: string) => hidden.idOf(model, id)
  return {
    ...nothingKept(model),
    find: async (id) => restore(await records.read(idOf(id)), { jti: id }),
    async upsert(id, payload, ttlSeconds = 0) {
      await records.write(idOf(id), recordOf(payload, ttlSeconds, clock), 'any')
    },
    async consume(id) {
      const record = await records.read(idOf(id))
      if (record === undefined || record.consumed_at !== undefined) return lose()
      const { version, ...unused } = record
      const used = { ...unused, consumed_at: epochSeconds(clock) }
      if (!(await records.write(idOf(id), used, { version }))) lose()
    },
    destroy: (id) => records.remove(idOf(id)),
  }
}

/** What names other things that open something: nothing of it can be read in the store. */
export function createSealedAdapter(
  model: string,
  { store, clock, hidden }: KeepingOptions,
): Adapter {
  const once = createOnceAdapter(model, { store, clock, hidden }, () => {
    throw new Error(`a ${model} is not consumed`)
  })
  return {
    ...once,
    async find(id) {
      const sealed = (await once.find(id))?.['sealed']
      const text = typeof sealed === 'string' ? hidden.unseal(sealed) : undefined
      return text === undefined ? undefined : { ...JSON.parse(text), jti: id }
    },
    upsert: (id, { jti: _id, ...payload }, ttlSeconds) =>
      once.upsert(id, { sealed: hidden.seal(JSON.stringify(payload)) }, ttlSeconds),
  }
}

/**
 * A record without what names it. That a browser forgets its session ends nothing that was granted in it: signing out
 * does, by revoking the grant.
 */
export function recordOf(
  { jti: _id, expiresWithSession: _session, ...payload }: AdapterPayload,
  ttlSeconds: number,
  clock: Clock,
): ExpiringRecord {
  return { payload, expires_at: epochSeconds(clock) + ttlSeconds }
}

/** The payload as oidc-provider wrote it, named by what the caller brought. */
export function restore(
  record: ReadRecord | undefined,
  names: { jti?: string; uid?: string; userCode?: string },
): AdapterPayload | undefined {
  if (record === undefined) return undefined
  const { payload, consumed_at: consumed } = record
  return { ...payload, ...names, ...(consumed === undefined ? {} : { consumed }) }
}
