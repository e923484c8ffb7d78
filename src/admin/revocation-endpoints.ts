import { z } from 'zod'
import { epochSeconds, type Clock } from '../kernel/clock.ts'
import { AppError } from '../kernel/errors.ts'
import type { Ring } from '../keys/ring.ts'
import type { Registry } from '../registry/registry.ts'
import { appendRevocation } from '../revocations/append-revocation.ts'
import {
  isSpent,
  LONGEST_TOKEN_SECONDS,
  REVOCATIONS,
  revocationSchema,
  revokeIssuedUpTo,
  type Revocation,
} from '../revocations/revocation.ts'
import type { JournalEntry, Store } from '../store/store.ts'
import { defineEndpoint, type Endpoint } from './endpoint.ts'
import { pageOf, pageQuery } from './listing.ts'
import { makeOnce } from './repeated-requests.ts'

const PATH = '/admin/v1/revocations'

const requestSchema = z.strictObject({
  kind: revocationSchema.shape.kind,
  value: z.string().min(1).max(300),
  issued_before: z.int().min(0).optional().describe('all but jti: the iat up to which; now'),
  exp: z.int().min(0).optional().describe('jti alone, and needed there: the exp of the token'),
})
export type RevocationRequest = z.output<typeof requestSchema>

const shownSchema = revocationSchema.extend({ id: z.string().describe('its place in the log') })

export type RevocationEndpointsOptions = {
  registry: Registry
  store: Store
  ring: () => Ring
  clock: Clock
}

export function revocationEndpoints(options: RevocationEndpointsOptions): Endpoint[] {
  const { registry, store, clock } = options
  return [
    defineEndpoint({
      method: 'POST',
      path: PATH,
      operation: 'admin.revocations.create',
      idMember: 'value',
      summary:
        'Revoke one token, or all that was issued so far to a client, subject or tenant, or under a key',
      scope: 'admin:revoke',
      takes: { body: requestSchema },
      answers: { status: 201, body: shownSchema },
      isRepeatable: true,
      run: async ({ body, mark }) => {
        await requireKnown(body, options)
        return makeOnce(registry, mark, {
          async make() {
            const entry = entryOf(body, epochSeconds(clock))
            const made = { id: await appendRevocation(store, entry), ...entry }
            // Only then: a crash in between makes a repeat revoke once more, and never not at all.
            if (mark !== undefined) await registry.markMade(mark, JSON.stringify(made))
            return { status: 201, body: made }
          },
          show: async (made) => ({ status: 201, body: shownSchema.parse(JSON.parse(made)) }),
        })
      },
    }),
    defineEndpoint({
      method: 'GET',
      path: PATH,
      operation: 'admin.revocations.list',
      summary: 'List what still matters, in the order of the log',
      scope: 'admin:read',
      takes: { query: z.strictObject(pageQuery) },
      answers: { status: 200, body: pageOf(shownSchema) },
      async run({ query: { limit, cursor } }) {
        const entries = await store.read(REVOCATIONS, { after: cursor, limit })
        const items = entries.flatMap((entry) => stillMattering(entry, epochSeconds(clock)))
        const next = entries.length < limit ? undefined : entries.at(-1)?.id
        return { status: 200, body: { items, ...(next !== undefined && { next_cursor: next }) } }
      },
    }),
  ]
}

/** AppError `malformed_request` for what could not do what is expected of it. */
function entryOf({ kind, value, issued_before, exp }: RevocationRequest, now: number): Revocation {
  if (kind !== 'jti') {
    if (exp !== undefined) throw malformed('exp: only one token has it')
    const upTo = issued_before ?? now
    if (upTo > now) throw malformed('issued_before: what is not issued yet cannot be revoked')
    return revokeIssuedUpTo(upTo, kind, value)
  }
  if (issued_before !== undefined) throw malformed('issued_before: one token needs none')
  if (exp === undefined) throw malformed('exp: is needed with a jti')
  if (isSpent({ exp }, now)) throw malformed('exp: the token has expired already')
  if (exp > now + LONGEST_TOKEN_SECONDS) throw malformed('exp: no token lives that long')
  return { kind, value, exp }
}

/** A misspelt name would revoke nothing, and nobody would notice. AppError `not_found`. */
async function requireKnown(
  { kind, value }: RevocationRequest,
  { registry, ring }: RevocationEndpointsOptions,
): Promise<void> {
  const isKnown = {
    // Tokens are not kept, so nobody can tell.
    jti: async () => true,
    client: () => registry.clients.get(value),
    sub: async () => (await registry.users.get(value)) ?? registry.clients.get(value),
    tenant: () => registry.tenants.get(value),
    kid: async () => ring().keys.some((key) => key.kid === value),
  }
  if (await isKnown[kind]()) return
  throw new AppError('not_found', `There is no such ${NAMES[kind]}; what is deleted is revoked.`)
}

const NAMES = { jti: 'token', client: 'client', sub: 'subject', tenant: 'tenant', kid: 'key' }

function stillMattering({ id, value }: JournalEntry, now: number) {
  const { data } = revocationSchema.safeParse(value)
  return data === undefined || isSpent(data, now) ? [] : [{ id, ...data }]
}

const malformed = (detail: string) => new AppError('malformed_request', detail)
