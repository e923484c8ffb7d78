import { z } from 'zod'
import type { Store } from '../store/store.ts'

const CONSENTS = { name: 'consents', layout: 'scattered' } as const
/** Asked anew after half a year, so that nobody's forgotten yes lasts for ever. */
const CONSENT_TTL_SECONDS = 180 * 86_400

const consentSchema = z.object({
  scopes: z.array(z.string()),
  claims: z.array(z.string()),
  resources: z.record(z.string(), z.array(z.string())),
})

/** What a user allowed a client: OpenID scopes and claims, and the scopes at each resource. */
export type Consent = z.infer<typeof consentSchema>

/**
 * What users said yes to, per client. It is kept apart from grants: those end with the tokens that came of them, while a
 * yes goes on to count. Fails with AppError `temporarily_unavailable`, as the store can.
 */
export type Consents = {
  recall: (sub: string, clientId: string) => Promise<Consent | undefined>
  remember: (sub: string, clientId: string, consent: Consent) => Promise<void>
}

export function createConsents(store: Store): Consents {
  const idOf = (sub: string, clientId: string) => `${sub} ${clientId}`
  return {
    recall: async (sub, clientId) => {
      const stored = await store.get(CONSENTS, idOf(sub, clientId))
      return stored && consentSchema.parse(stored.value)
    },
    remember: async (sub, clientId, consent) => {
      await store.commit(CONSENTS, [
        {
          kind: 'put',
          id: idOf(sub, clientId),
          value: consent,
          expect: 'any',
          lifetime: { ttlSeconds: CONSENT_TTL_SECONDS },
        },
      ])
    },
  }
}
