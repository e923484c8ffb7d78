import { z } from 'zod'
import { epochSeconds, type Clock } from '../kernel/clock.ts'
import type { ListedCollection, Store } from '../store/store.ts'

const VERIFIERS: ListedCollection = { name: 'verifiers', layout: 'together' }
/** Three reports may get lost before a verifier counts as gone. */
const TTL_SECONDS = 35
const PAGE_SIZE = 500

/** What a verifier says of itself; times are in seconds since the epoch. */
export const verifierReportSchema = z.strictObject({
  /** Whoever reports for itself chooses it: the host and the port, by default. */
  verifier_id: z.string().regex(/^[A-Za-z0-9._~-]{1,150}$/),
  version: z.string().max(50),
  /** The keys that it verifies with right now. */
  kids: z.array(z.string().min(1).max(200)).max(50),
  keys_fetched_at: z.number().nullable(),
  /** The id of the last entry of the revocation log that it has heard, and as of when it has heard all. */
  revocation_id: z.string().max(200).nullable(),
  revocations_heard_at: z.number().nullable(),
})
export type VerifierReport = z.infer<typeof verifierReportSchema>

const knownVerifierSchema = verifierReportSchema.extend({
  /** The client that has reported it, or null for one that writes to the store itself. */
  client_id: z.string().nullable(),
  reported_at: z.number(),
})
export type KnownVerifier = z.infer<typeof knownVerifierSchema>

/** Remembers the report until the next; without one, the verifier is forgotten after 35 s. A client names only its own. */
export async function saveVerifier(
  store: Pick<Store, 'commit'>,
  report: VerifierReport,
  { clientId, clock }: { clientId: string | null; clock: Clock },
): Promise<void> {
  const value: KnownVerifier = {
    ...report,
    client_id: clientId,
    reported_at: epochSeconds(clock),
  }
  const id = `${clientId ?? ''}/${report.verifier_id}`
  const lifetime = { ttlSeconds: TTL_SECONDS }
  await store.commit(VERIFIERS, [{ kind: 'put', id, value, expect: 'any', lifetime }])
}

/** Every verifier that has reported within the last 35 s: those of a later version are left out. */
export async function listVerifiers(store: Pick<Store, 'list'>): Promise<KnownVerifier[]> {
  const verifiers: KnownVerifier[] = []
  let after: string | undefined
  do {
    const page = await store.list(VERIFIERS, { after, limit: PAGE_SIZE })
    for (const { value } of page.records) {
      const parsed = knownVerifierSchema.safeParse(value)
      if (parsed.success) verifiers.push(parsed.data)
    }
    after = page.next
  } while (after !== undefined)
  return verifiers
}
