import type { Command } from 'commander'
import { adminKeyPathOf } from './admin-bootstrap.ts'
import { writeJson } from './output.ts'
import { connectingSettingsOf } from './settings-of.ts'

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
      const { config } = connectingSettingsOf(command)
      const { initialise } = await import('./initialise.ts')
      await initialise(config, { replacesAdminKey: options.replaceAdminKey === true })
      const adminKey = adminKeyPathOf(config)
      if (options.json === true) return writeJson({ admin_client_id: 'admin', admin_key: adminKey })
      process.stdout.write(`Ready to start. The operators' key is at ${adminKey}: keep it safe.\n`)
    })
}
