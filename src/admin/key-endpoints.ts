import { z } from 'zod'
import { epochSeconds, type Clock } from '../kernel/clock.ts'
import { promotableAt, type KeyPolicy } from '../keys/lifecycle.ts'
import type { Ring, RingKey } from '../keys/ring.ts'
import type { SigningKeys } from '../keys/signing-keys.ts'
import { listVerifiers } from '../keys/verifiers.ts'
import type { Store } from '../store/store.ts'
import { defineEndpoint, type Endpoint } from './endpoint.ts'

const seconds = z.int().describe('seconds since the epoch')
const keySchema = z.object({
  kid: z.string(),
  state: z.enum(['next', 'active', 'retiring']),
  published_at: seconds,
  activated_at: seconds.optional(),
  retired_at: seconds.optional(),
  wanted_since: seconds.optional().describe('somebody waits for it to sign'),
  ready_in_seconds: z.int().optional().describe('until a next key may sign'),
  rotates_at: seconds.optional().describe('when an active key retires by the clock'),
  leaves_at: seconds.optional().describe('when a retiring key leaves, with its last token'),
})
export type ShownKey = z.infer<typeof keySchema>
const verifierSchema = z.object({
  verifier_id: z.string(),
  client_id: z.string().nullable(),
  kids: z.array(z.string()).describe('the keys that it verifies with'),
  reported_at: z.number(),
})
const ringSchema = z.object({ items: z.array(keySchema), verifiers: z.array(verifierSchema) })

const KEYS = '/admin/v1/keys'
const answers = { status: 200, body: ringSchema }

export type KeyEndpointsOptions = {
  signingKeys: SigningKeys
  store: Pick<Store, 'list'>
  clock: Clock
}

/** The signing keys; each change answers with the ring as it is then. */
export function keyEndpoints({ signingKeys, store, clock }: KeyEndpointsOptions): Endpoint[] {
  const show = async (ring: Ring) => {
    const now = epochSeconds(clock)
    const items = ring.keys.map((key) => shownKey(key, { now, policy: signingKeys.policy }))
    const verifiers = (await listVerifiers(store)).map((each) => ({
      verifier_id: each.verifier_id,
      client_id: each.client_id,
      kids: each.kids,
      reported_at: each.reported_at,
    }))
    return { status: 200, body: { items, verifiers } }
  }

  return [
    defineEndpoint({
      method: 'GET',
      path: KEYS,
      operation: 'admin.keys.list',
      summary: 'The signing keys, the active one first, and the times to come',
      scope: 'admin:keys',
      takes: {},
      answers,
      run: async () => show(await signingKeys.list()),
    }),
    defineEndpoint({
      method: 'POST',
      path: `${KEYS}/stage`,
      operation: 'admin.keys.stage',
      summary: 'Publish a key ahead, unless one is',
      scope: 'admin:keys',
      takes: {},
      answers,
      run: async () => show(await signingKeys.stage()),
    }),
    defineEndpoint({
      method: 'POST',
      path: `${KEYS}/rotate`,
      operation: 'admin.keys.rotate',
      summary:
        'Let the next key sign: now, or 409 too_early with Retry-After; with when=ready as soon as it may',
      scope: 'admin:keys',
      takes: { query: z.strictObject({ when: z.enum(['now', 'ready']).default('now') }) },
      answers,
      run: async ({ query }) =>
        show(await (query.when === 'now' ? signingKeys.rotate() : signingKeys.rotateWhenReady())),
    }),
    defineEndpoint({
      method: 'POST',
      path: `${KEYS}/{kid}/compromise`,
      operation: 'admin.keys.compromise',
      summary: 'Take a stolen key out at once; every token of it is void from now on',
      scope: 'admin:keys',
      takes: { params: z.object({ kid: z.string().regex(/^[A-Za-z0-9_-]{1,128}$/) }) },
      answers,
      run: async ({ params }) => show(await signingKeys.compromise(params.kid)),
    }),
    defineEndpoint({
      method: 'POST',
      path: `${KEYS}/reseal`,
      operation: 'admin.keys.reseal',
      summary: 'Seal the stored keys with keys.encryptionKey as it is now',
      scope: 'admin:keys',
      takes: {},
      answers: { status: 200, body: z.object({ resealed: z.boolean() }) },
      run: async () => ({ status: 200, body: { resealed: await signingKeys.reseal() } }),
    }),
  ]
}

function shownKey(key: RingKey, { now, policy }: { now: number; policy: KeyPolicy }): ShownKey {
  const { kid, state, publishedAt: published_at } = key
  switch (key.state) {
    case 'next': {
      const readyAt = promotableAt(key, policy.jwksMaxAgeSeconds)
      const ready = { ready_in_seconds: Math.max(0, readyAt - now) }
      const wanted = key.wantedSince === undefined ? {} : { wanted_since: key.wantedSince }
      return { kid, state, published_at, ...wanted, ...ready }
    }
    case 'active': {
      const rotates_at = key.activatedAt + policy.rotateEverySeconds
      return { kid, state, published_at, activated_at: key.activatedAt, rotates_at }
    }
    case 'retiring': {
      const times = { activated_at: key.activatedAt, retired_at: key.retiredAt }
      const leaves_at = key.retiredAt + policy.tokenLifetimeSeconds
      return { kid, state, published_at, ...times, leaves_at }
    }
  }
}
