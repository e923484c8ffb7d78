import type { Config } from '../config/schema.ts'
import { systemClock } from '../kernel/clock.ts'
import { createLog } from '../kernel/log.ts'
import { ensureAdminClient, replaceAdminKey } from './admin-bootstrap.ts'
import { keyMakerOf, openKeyHome } from './open-key-home.ts'
import { openKeys } from './open-keys.ts'
import { openRegistry } from './open-registry.ts'
import { ensureTerminalClient } from './terminal-client.ts'

/** Makes what a first start makes. The store must not be in use. */
export async function initialise(
  config: Config,
  { replacesAdminKey }: { replacesAdminKey: boolean },
): Promise<void> {
  const surroundings = { clock: systemClock, log: createLog('silent') }
  const keyHome = await openKeyHome(config, surroundings)
  const { registry, store, close } = await openRegistry(config, surroundings)
  try {
    const makeKey = keyMakerOf(config, keyHome)
    await openKeys(config, store, { ...surroundings, makeKey })
    await ensureAdminClient(config, { clients: registry.clients, log: surroundings.log })
    await ensureTerminalClient(registry.clients, surroundings.log)
    if (replacesAdminKey) await replaceAdminKey(config, registry.clients)
  } finally {
    await close()
    await keyHome?.close()
  }
}
