import { AppError } from '../kernel/errors.ts'
import type { Log } from '../kernel/log.ts'
import { DEVICE_CODE_GRANT } from '../registry/client-metadata.ts'
import { newClientSchema } from '../registry/client.ts'
import type { Clients } from '../registry/registry.ts'
import { OCR_SCOPE } from '../tokens/access-token.ts'

/** With which the command line signs people of the default tenant in. */
export const TERMINAL_CLIENT_ID = 'gatehouse-cli'
export const TERMINAL_SCOPE = `openid ${OCR_SCOPE}`

/**
 * Makes the public client of the command line on the first start (RFC 8252 §8.4: what is installed everywhere keeps no
 * secret). What operators changed of it stays, and when they deleted it, it stays away.
 */
export async function ensureTerminalClient(clients: Clients, log: Log): Promise<void> {
  if ((await clients.get(TERMINAL_CLIENT_ID)) !== undefined) return
  try {
    await clients.create(
      newClientSchema.parse({
        client_id: TERMINAL_CLIENT_ID,
        name: 'Gatehouse command line',
        scope: TERMINAL_SCOPE,
        grant_types: [DEVICE_CODE_GRANT, 'refresh_token'],
        token_endpoint_auth_method: 'none',
      }),
    )
  } catch (error) {
    // Somebody deleted it for good, or another process that starts now was first.
    if (!(error instanceof AppError && error.code === 'already_exists')) throw error
    log.debug({ event: 'terminal.client_not_made' }, 'the client of the command line was not made')
  }
}
