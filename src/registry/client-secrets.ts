import { randomUUID } from 'node:crypto'
import { epochSeconds, type Clock } from '../kernel/clock.ts'
import { AppError } from '../kernel/errors.ts'
import type { Store } from '../store/store.ts'
import { usesSecret } from './client-rules.ts'
import {
  generateClientSecret,
  hintOf,
  isLive,
  type ClientSecret,
  type NewSecret,
  type SecretRecord,
} from './client-secret.ts'
import type { ClientRecord } from './client.ts'
import type { HashPool } from './hash-pool.ts'
import { madeBy, putMark } from './made-once.ts'
import type { KeptRecords } from './kept-record.ts'
import type { Clients } from './registry.ts'
import type { SecretUses } from './secret-uses.ts'

const MAX_SECRETS = 10
/** Jobs that run once a day count as using their secret. */
const IN_USE_SECONDS = 24 * 3600

export type SecretsOptions = {
  store: Store
  clock: Clock
  pool: HashPool
  uses: SecretUses
  records: KeptRecords<ClientRecord>
}

/** Several live secrets per client, so that one can be replaced while the other is still in use. */
export function createClientSecrets(
  options: SecretsOptions,
): Pick<Clients, 'listSecrets' | 'addSecret' | 'removeSecret'> {
  const { store, clock, pool, uses, records } = options

  const toShown = async (clientId: string, record: SecretRecord): Promise<ClientSecret> => {
    const { hash: _hidden, hint: _unsaid, ...shown } = record
    const lastUse = await uses.lastUse(clientId, record.secret_id)
    return lastUse === undefined ? shown : { ...shown, last_used_at: lastUse }
  }

  const requireUnused = async (clientId: string, secret: SecretRecord): Promise<void> => {
    const now = epochSeconds(clock)
    const lastUse = await uses.lastUse(clientId, secret.secret_id)
    if (lastUse === undefined || now - lastUse > IN_USE_SECONDS || !isLive(secret, now)) return
    const ago = Math.max(0, now - lastUse)
    throw new AppError('in_use', `The secret was used ${ago} s ago; force it to remove it anyway.`)
  }

  return {
    listSecrets: async (clientId) => {
      const { record } = await records.require(clientId)
      return Promise.all(record.secrets.map((secret) => toShown(clientId, secret)))
    },

    addSecret: async (clientId, request, { mark, ...expected } = {}) => {
      const made = await createSecret(pool, request, epochSeconds(clock))
      await records.change(clientId, expected, async (current) => {
        if (mark !== undefined && (await madeBy(store, mark)) !== undefined) {
          throw new AppError('already_exists', 'The same request was done meanwhile.')
        }
        const next = withSecret(current, made.record, epochSeconds(clock))
        return { next, also: putMark(mark, made.record.secret_id) }
      })
      return { secret: await toShown(clientId, made.record), clientSecret: made.clientSecret }
    },

    removeSecret: async (clientId, secretId, { isForced = false, ...expected } = {}) => {
      await records.change(clientId, expected, async (current) => {
        const gone = current.secrets.find(({ secret_id: id }) => id === secretId)
        if (gone === undefined) throw new AppError('not_found', 'There is no such secret.')
        if (!isForced) await requireUnused(clientId, gone)
        const secrets = current.secrets.filter((secret) => secret !== gone)
        return { next: { ...current, secrets, updated_at: epochSeconds(clock) } }
      })
    },
  }
}

/** A fresh secret, to be shown once, and what is kept of it. `now` is in seconds since the epoch. */
export async function createSecret(
  pool: HashPool,
  request: NewSecret,
  now: number,
): Promise<{ record: SecretRecord; clientSecret: string }> {
  const clientSecret = generateClientSecret()
  const record = {
    ...request,
    secret_id: randomUUID(),
    created_at: now,
    hash: await pool.hash(clientSecret),
    hint: hintOf(clientSecret),
  }
  return { record, clientSecret }
}

/** What has expired makes room. */
function withSecret(client: ClientRecord, added: SecretRecord, now: number): ClientRecord {
  if (!usesSecret(client.token_endpoint_auth_method)) {
    throw new AppError('invalid_metadata', 'The client does not authenticate with a secret.')
  }
  if (!isLive(added, now)) throw new AppError('invalid_metadata', 'expires_at: is over already.')
  const live = client.secrets.filter((secret) => isLive(secret, now))
  if (live.length >= MAX_SECRETS) {
    throw new AppError('in_use', `A client may have ${MAX_SECRETS} secrets; remove one first.`)
  }
  return { ...client, secrets: [...live, added], updated_at: now }
}
