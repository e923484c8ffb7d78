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

export const ADMIN_CLIENT_ID = 'admin'

/** Where the operators' private key is kept unless they say otherwise. */
export const adminKeyPathOf = ({ keys }: Config): string => join(keys.dir, 'admin.jwk')

/**
 * Makes the client `admin` and its key on the first start. Later, on an embedded store, the key file is the truth: an
 * operator who moved it away gets a new key, and the old one stops. On a shared store another machine may have the
 * key, so nothing is replaced there. A ConfigError when the file is damaged.
 */
export async function ensureAdminClient(
  config: Config,
  { clients, log }: { clients: Clients; log: Log },
): Promise<void> {
  const path = adminKeyPathOf(config)
  const known = await clients.get(ADMIN_CLIENT_ID)
  if (known === undefined) {
    return createAdminClient(clients, {
      key: publicClientKey(await loadOrCreateClientKey(path)),
      log,
    })
  }
  if (config.redis.url !== undefined) {
    await loadClientKey(path)
    return
  }
  const key = publicClientKey(await loadOrCreateClientKey(path))
  if (hasKey(known, key)) return
  await clients.update(ADMIN_CLIENT_ID, { jwks: { keys: [key] } })
  log.warn({ event: 'admin.key_replaced', kid: key.kid }, 'the admin client has another key now')
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
