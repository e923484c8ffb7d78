import type { Command } from 'commander'
import { systemClock } from '../kernel/clock.ts'
import { createLog } from '../kernel/log.ts'
import { adminKeyPathOf, ensureAdminClient, replaceAdminKey } from './admin-bootstrap.ts'
import { writeJson } from './output.ts'
import { keyMakerOf, openKeyHome } from './open-key-home.ts'
import { openKeys } from './open-keys.ts'
import { openRegistry } from './open-registry.ts'
import { settingsOf } from './settings-of.ts'
import { ensureTerminalClient } from './terminal-client.ts'

export function initCommand(program: Command): void {
  program
    .command('init')
    .description(
      'make what a first start makes, without serving: keys, store, tenant, admin client',
    )
    .option(
      '--replace-admin-key',
      'make keys/admin.jwk, anew if it is gone, the only key of the admin client',
    )
    .option('--json', 'one JSON document')
    .addHelpText('after', '\nExample:\n  npm run -s gatehouse -- init')
    .action(async (options: { json?: true; replaceAdminKey?: true }, command: Command) => {
      const { config } = settingsOf(command)
      const surroundings = { clock: systemClock, log: createLog('silent') }
      const keyHome = await openKeyHome(config, surroundings)
      const { registry, store, close } = await openRegistry(config, surroundings)
      try {
        const makeKey = keyMakerOf(config, keyHome)
        await openKeys(config, store, { ...surroundings, makeKey })
        await ensureAdminClient(config, { clients: registry.clients, log: surroundings.log })
        await ensureTerminalClient(registry.clients, surroundings.log)
        if (options.replaceAdminKey === true) await replaceAdminKey(config, registry.clients)
      } finally {
        await close()
        await keyHome?.close()
      }
      const adminKey = adminKeyPathOf(config)
      if (options.json === true) return writeJson({ admin_client_id: 'admin', admin_key: adminKey })
      process.stdout.write(`Ready to start. The operators' key is at ${adminKey}: keep it safe.\n`)
    })
}
