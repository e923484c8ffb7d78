import type { Adapter } from 'oidc-provider'
import { epochSeconds } from '../kernel/clock.ts'
import { createExpiringRecords, type ReadRecord } from './expiring-records.ts'
import type { Grants } from './grants.ts'
import type { OidcProvider } from './oidc-provider.ts'
import { createOnceAdapter, recordOf, restore, type KeepingOptions } from './once-adapter.ts'
import { isRetry, successorOf, type UsedRefreshToken } from './refresh-rotation.ts'

export type RefreshTokenAdapterOptions = KeepingOptions & {
  grants: Grants
  refreshKey: Buffer
  refreshTokenTtlSeconds: number
  oidc: Pick<OidcProvider, 'errors' | 'Provider'>
}

const MAX_ATTEMPTS = 3

/**
 * Refresh tokens, each good for one use (RFC 9700 §4.14.2). Two uses at the same time, on whichever issuers, derive the
 * same successor; one that comes when that is in use, or too late, ends the grant.
 */
export function createRefreshTokenAdapter(options: RefreshTokenAdapterOptions): Adapter {
  const { store, clock, hidden, grants, refreshKey, oidc } = options
  const { refreshTokenTtlSeconds: ttlSeconds } = options
  const records = createExpiringRecords(store, 'RefreshToken', clock)
  const idOf = (token: string) => hidden.idOf('RefreshToken', token)

  const isLostAnswer = async (token: string, consumedAt: number): Promise<boolean> => {
    const successor = await records.read(idOf(successorOf(refreshKey, token)))
    const used = { consumedAt, successor: stateOf(successor) }
    return isRetry(used, { now: epochSeconds(clock), ttlSeconds })
  }

  /** An issuer that stood still finds requests whose clients left long ago, and were served elsewhere: none is a reuse. */
  const requireClient = (): void => {
    if (oidc.Provider.ctx?.req.socket.destroyed !== true) return
    throw new oidc.errors.InvalidRequest('the client has left')
  }

  const punishReuse = async ({ payload: { grantId } }: ReadRecord): Promise<never> => {
    if (grantId !== undefined) await grants.revoke(grantId)
    throw new oidc.errors.InvalidGrant('refresh token already used')
  }

  return {
    ...createOnceAdapter('RefreshToken', options, () => {
      throw new oidc.errors.InvalidGrant('refresh token already used')
    }),

    /** The grant first: a crash in between leaves nothing to which its predecessor could lead. */
    async destroy(token) {
      const grantId = (await records.read(idOf(token)))?.payload.grantId
      if (grantId !== undefined) await grants.revoke(grantId)
      await records.remove(idOf(token))
    },

    /** To whom it is given again, the token does not look used. */
    async find(token) {
      const record = await records.read(idOf(token))
      requireClient()
      if (record?.consumed_at === undefined) return restore(record, { jti: token })
      const { consumed_at: consumedAt, ...unused } = record
      const again = (await isLostAnswer(token, consumedAt)) ? unused : record
      return restore(again, { jti: token })
    },

    async consume(token) {
      for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt += 1) {
        const record = await records.read(idOf(token))
        if (record === undefined) break
        const { version, ...current } = record
        if (current.consumed_at !== undefined) {
          if (await isLostAnswer(token, current.consumed_at)) return
          await punishReuse(record)
        }
        const used = { ...current, consumed_at: epochSeconds(clock) }
        if (await records.write(idOf(token), used, { version })) return
      }
      throw new oidc.errors.InvalidGrant('refresh token not found')
    },

    async upsert(token, payload, ttlSeconds = 0) {
      const record = recordOf(payload, ttlSeconds, clock)
      if (payload.grantId !== undefined) await grants.prolong(payload.grantId, record.expires_at)
      if (await records.write(idOf(token), record, 'absent')) return
      // Somebody else derived it at the same time. The two are one as long as nobody has used it.
      const existing = await records.read(idOf(token))
      if (existing?.consumed_at !== undefined) await punishReuse(existing)
    },
  }
}

function stateOf(record: ReadRecord | undefined): UsedRefreshToken['successor'] {
  if (record === undefined) return 'missing'
  return record.consumed_at === undefined ? 'unused' : 'used'
}
