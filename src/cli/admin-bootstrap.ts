import { join } from 'node:path'
import { ADMIN_SCOPES } from '../admin/admin-scopes.ts'
import type { Config } from '../config/schema.ts'
import { AppError } from '../kernel/errors.ts'
import type { Log } from '../kernel/log.ts'
import {
  loadClientKey,
  loadOrCreateClientKey,
  publicClientKey,
  type PublicClientKey,
} from '../keys/client-key-file.ts'
import { newClientSchema, type Client } from '../registry/client.ts'
import type { Clients } from '../registry/registry.ts'
import { CliError } from './cli-error.ts'

export const ADMIN_CLIENT_ID = 'admin'

/** Where the operators' private key is kept unless they say otherwise. */
export const adminKeyPathOf = ({ keys }: Config): string => join(keys.dir, 'admin.jwk')

export type AdminBootstrap = { clients: Clients; log: Log }

/**
 * Makes the client `admin` and its key on the first start. Later nothing is replaced: the operators may keep the key
 * elsewhere, or have given the client another one. A ConfigError when the file is damaged.
 */
export async function ensureAdminClient(
  config: Config,
  { clients, log }: AdminBootstrap,
): Promise<void> {
  const path = adminKeyPathOf(config)
  const known = await clients.get(ADMIN_CLIENT_ID)
  if (known === undefined) {
    const key = publicClientKey(await loadOrCreateClientKey(path))
    return createAdminClient(clients, { key, log })
  }
  const key = await loadClientKey(path)
  if (key === undefined || hasKey(known, key)) return
  log.warn(
    { event: 'admin.other_key', kid: key.kid },
    'the admin client has another key than keys/',
  )
}

/**
 * Gives the client `admin` the key of the key file, made when there is none, in the place of all others: for operators
 * who lost theirs and have the machine. A CliError when the client was deleted.
 */
export async function replaceAdminKey(config: Config, clients: Clients): Promise<void> {
  if ((await clients.get(ADMIN_CLIENT_ID)) === undefined) {
    throw new CliError('the client admin was deleted, and its id is never given again')
  }
  const key = publicClientKey(await loadOrCreateClientKey(adminKeyPathOf(config)))
  await clients.update(ADMIN_CLIENT_ID, { jwks: { keys: [key] }, jwks_uri: null })
}

async function createAdminClient(
  clients: Clients,
  { key, log }: { key: PublicClientKey; log: Log },
): Promise<void> {
  try {
    await clients.create(
      newClientSchema.parse({
        client_id: ADMIN_CLIENT_ID,
        name: 'Operators',
        scope: ADMIN_SCOPES.join(' '),
        token_endpoint_auth_method: 'private_key_jwt',
        jwks: { keys: [key] },
      }),
    )
  } catch (error) {
    // Somebody deleted it for good, or another process that starts now was first.
    if (!(error instanceof AppError && error.code === 'already_exists')) throw error
    log.warn({ event: 'admin.client_not_made', err: error }, 'the admin client was not made')
  }
}

const hasKey = ({ jwks }: Client, { kid }: PublicClientKey): boolean =>
  jwks?.keys.some((key) => key['kid'] === kid) ?? false
