import { randomUUID } from 'node:crypto'
import { epochSeconds, type Clock } from '../kernel/clock.ts'
import { AppError } from '../kernel/errors.ts'
import type { RevokeAround } from '../revocations/revoke-around.ts'
import type { Store } from '../store/store.ts'
import {
  CLIENT_PREFIX,
  clientKeyOf,
  clientListOf,
  clientTombstoneOf,
  toClient,
  tracesOfClient,
} from './client-keeping.ts'
import { findBrokenRules, usesSecret } from './client-rules.ts'
import { createSecret } from './client-secrets.ts'
import { clientRecordSchema, type Client, type ClientRecord, type ClientUpdate } from './client.ts'
import type { HashPool } from './hash-pool.ts'
import { putRecord, type KeptRecords } from './kept-record.ts'
import { putMark } from './made-once.ts'
import { commitAsMember } from './membership.ts'
import { mergeSettings } from './merge-settings.ts'
import { listPage } from './pages.ts'
import type { Clients, Expected, TenantPageQuery } from './registry.ts'
import type { TenantRecord } from './tenant.ts'

export type ClientsOptions = {
  store: Store
  clock: Clock
  pool: HashPool
  records: KeptRecords<ClientRecord>
  tenants: KeptRecords<TenantRecord>
  revokeAround: RevokeAround
}

type ClientLife = Omit<
  Clients,
  | 'listSecrets'
  | 'listExpiringSecrets'
  | 'addSecret'
  | 'removeSecret'
  | 'findIssuable'
  | 'verifySecret'
  | 'requireRoomForGuess'
>

/** The life of a client but for its secrets. */
export function createClients(options: ClientsOptions): ClientLife {
  const { store, clock, pool, records, tenants, revokeAround } = options

  const create: Clients['create'] = async (request, mark) => {
    const now = epochSeconds(clock)
    const first = usesSecret(request.token_endpoint_auth_method)
      ? await createSecret(pool, {}, now)
      : undefined
    const record: ClientRecord = {
      ...request,
      client_id: request.client_id ?? randomUUID(),
      status: 'active',
      created_at: now,
      updated_at: now,
      secrets: first === undefined ? [] : [first.record],
    }
    const { client_id: clientId, tenant_id: tenantId } = record
    const version = await commitAsMember({ store, tenants, tenantId }, [
      putRecord(clientKeyOf(clientId), record),
      { kind: 'check', id: clientTombstoneOf(clientId), expect: 'absent' },
      putRecord(`${clientListOf(tenantId)}${clientId}`, {}),
      ...putMark(mark, clientId),
    ])
    if (version === undefined) {
      throw new AppError('already_exists', 'The id of the client is or was in use.')
    }
    return { client: toClient({ record, version }), clientSecret: first?.clientSecret }
  }

  const update = async (clientId: string, changes: ClientUpdate, expected: Expected = {}) =>
    toClient(
      await records.change(clientId, expected, async (current) => ({
        next: withoutIdleSecrets(
          requireRules({
            ...clientRecordSchema.parse(mergeSettings(current, changes)),
            updated_at: epochSeconds(clock),
          }),
        ),
      })),
    )

  const disable = (clientId: string, expected: Expected = {}): Promise<Client> =>
    revokeAround({ kind: 'client', value: clientId }, async (revoke) =>
      toClient(
        await records.change(clientId, expected, async (current) => {
          await revoke()
          return { next: { ...current, status: 'disabled', updated_at: epochSeconds(clock) } }
        }),
      ),
    )

  const enable = async (clientId: string, expected: Expected = {}): Promise<Client> =>
    toClient(
      await records.change(clientId, expected, async (current) => ({
        next: { ...current, status: 'active', updated_at: epochSeconds(clock) },
      })),
    )

  const remove = (clientId: string, expected: Expected = {}): Promise<void> =>
    revokeAround({ kind: 'client', value: clientId }, (revoke) =>
      records.remove(clientId, expected, async ({ tenant_id: tenantId }) => {
        await revoke()
        return { also: tracesOfClient({ clientId, tenantId, now: epochSeconds(clock) }) }
      }),
    )

  const list = ({ tenantId, ...query }: TenantPageQuery) =>
    tenantId === undefined
      ? listPage(store, { ...query, prefix: CLIENT_PREFIX }, async ({ value, version }) =>
          toClient({ record: clientRecordSchema.parse(value), version }),
        )
      : listPage(store, { ...query, prefix: clientListOf(tenantId) }, ({ rest }) => get(rest))

  const get = async (clientId: string): Promise<Client | undefined> => {
    const kept = await records.read(clientId)
    return kept && toClient(kept)
  }

  return { create, get, list, update, disable, enable, delete: remove }
}

/** Who left secrets behind did so for good: they do not come back with the method. */
function withoutIdleSecrets(client: ClientRecord): ClientRecord {
  return usesSecret(client.token_endpoint_auth_method) ? client : { ...client, secrets: [] }
}

function requireRules(client: ClientRecord): ClientRecord {
  const [broken] = findBrokenRules(client)
  if (broken === undefined) return client
  throw new AppError('invalid_metadata', `${broken.member}: ${broken.problem}.`)
}
