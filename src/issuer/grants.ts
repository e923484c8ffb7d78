import type { AdapterPayload } from 'oidc-provider'
import { z } from 'zod'
import { epochSeconds, type Clock } from '../kernel/clock.ts'
import { AppError } from '../kernel/errors.ts'
import { appendRevocation } from '../revocations/append-revocation.ts'
import type { Store } from '../store/store.ts'
import { isCommitted } from './expiring-records.ts'
import type { HiddenValues } from './hidden-values.ts'

/** An access token that a grant has given and that has not expired; `exp` in seconds since the epoch. */
export type LiveToken = { jti: string; exp: number }

/**
 * What somebody has granted to a client, with the access tokens that came of it. Every code and refresh token leads to
 * one, and is worth nothing without it: to revoke the grant is to end all of them.
 */
export type Grants = {
  find: (grantId: string) => Promise<AdapterPayload | undefined>
  /** Makes or changes it. A revoked one stays revoked. */
  save: (grantId: string, payload: AdapterPayload, ttlSeconds: number) => Promise<void>
  /** Lets it live at least as long as a refresh token that leads to it. */
  prolong: (grantId: string, expiresAt: number) => Promise<void>
  /** To be called before the token leaves the house; when the grant was revoked meanwhile, so is the token. */
  addToken: (grantId: string, token: LiveToken) => Promise<void>
  revoke: (grantId: string) => Promise<void>
}

const GRANTS = { name: 'oidc/Grant', layout: 'scattered' } as const
const MAX_ATTEMPTS = 20
/** More than any client needs at the same time. Whoever asks for one more loses the oldest. */
const MAX_LIVE_TOKENS = 500

const payloadSchema = z.custom<AdapterPayload>((value) => typeof value === 'object')
const grantSchema = z.discriminatedUnion('state', [
  z.strictObject({
    state: z.literal('granted'),
    payload: payloadSchema,
    expires_at: z.int(),
    live: z.array(z.strictObject({ jti: z.string(), exp: z.int() })),
  }),
  /** Kept for as long as anything may lead here, so that what is under way finds it revoked and not missing. */
  z.strictObject({ state: z.literal('revoked'), expires_at: z.int() }),
])
type Grant = z.infer<typeof grantSchema>

export type GrantsOptions = { store: Store; clock: Clock; hidden: HiddenValues }

export function createGrants({ store, clock, hidden }: GrantsOptions): Grants {
  const idOf = (grantId: string) => hidden.idOf('Grant', grantId)

  const read = async (id: string) => {
    const stored = await store.get(GRANTS, id)
    return stored && { grant: grantSchema.parse(stored.value), version: stored.version }
  }

  const write = (id: string, grant: Grant, version: string | undefined): Promise<boolean> => {
    const ttlSeconds = Math.max(1, grant.expires_at - epochSeconds(clock))
    const expect = version === undefined ? 'absent' : { version }
    return isCommitted(
      store.commit(GRANTS, [{ kind: 'put', id, value: grant, expect, lifetime: { ttlSeconds } }]),
    )
  }

  /** Commits what `decide` makes of the grant, or nothing when it gives undefined; again when somebody was faster. */
  const change = async (
    grantId: string,
    decide: (grant: Grant | undefined) => Promise<Grant | undefined>,
  ): Promise<void> => {
    const id = idOf(grantId)
    for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt += 1) {
      const current = await read(id)
      const next = await decide(current?.grant)
      if (next === undefined || (await write(id, next, current?.version))) return
    }
    throw new AppError('temporarily_unavailable', 'Too many use this grant at the same time.', {
      reason: 'contention',
      headers: { 'retry-after': '1' },
    })
  }

  const revokeTokens = async (tokens: readonly LiveToken[]): Promise<void> => {
    for (const { jti, exp } of tokens) {
      await appendRevocation(store, { kind: 'jti', value: jti, exp })
    }
  }

  return {
    async find(grantId) {
      const grant = (await read(idOf(grantId)))?.grant
      return grant?.state === 'granted' ? { ...grant.payload, jti: grantId } : undefined
    },

    save: (grantId, { jti: _id, ...payload }, ttlSeconds) =>
      change(grantId, async (grant) => {
        if (grant?.state === 'revoked') return undefined
        const expires_at = epochSeconds(clock) + ttlSeconds
        return { state: 'granted', payload, expires_at, live: grant?.live ?? [] }
      }),

    prolong: (grantId, expiresAt) =>
      change(grantId, async (grant) => {
        if (grant?.state !== 'granted' || grant.expires_at >= expiresAt) return undefined
        return { ...grant, payload: { ...grant.payload, exp: expiresAt }, expires_at: expiresAt }
      }),

    addToken: (grantId, token) =>
      change(grantId, async (grant) => {
        if (grant?.state !== 'granted') {
          await revokeTokens([token])
          return undefined
        }
        const live = grant.live.filter(({ exp }) => exp > epochSeconds(clock))
        const tooMany = live.splice(0, live.length + 1 - MAX_LIVE_TOKENS)
        await revokeTokens(tooMany)
        return { ...grant, live: [...live, token] }
      }),

    /** The log first: a crash in between leaves nothing alive that is taken for revoked. */
    revoke: (grantId) =>
      change(grantId, async (grant) => {
        if (grant?.state !== 'granted') return undefined
        await revokeTokens(grant.live)
        return { state: 'revoked', expires_at: grant.expires_at }
      }),
  }
}
