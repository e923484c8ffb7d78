import type { Command } from 'commander'
import { z } from 'zod'
import { systemClock } from '../kernel/clock.ts'
import { writeFields, writeJson } from './output.ts'
import { addPassphraseFlags, readPassphrase } from './passphrase.ts'
import { connectingSettingsOf } from './settings-of.ts'

const optionsSchema = z.object({ json: z.boolean().default(false) }).loose()

export function restoreCommand(program: Command): void {
  addPassphraseFlags(
    program
      .command('restore <file>')
      .description(
        'fill the configured store, which must be empty, from a backup; without a server',
      )
      .option('--json', 'one JSON document'),
  )
    .addHelpText(
      'after',
      '\nExample:\n  npm run -s gatehouse -- --set dataDir=./new-data restore gatehouse.backup',
    )
    .action(async (path: string, _options, command: Command) => {
      const { json } = optionsSchema.parse(command.opts())
      const { config } = connectingSettingsOf(command)
      const passphrase = await readPassphrase(command)
      const { restoreBackup } = await import('./restore-backup.ts')
      const report = await restoreBackup({ config, clock: systemClock, path, passphrase })
      const { key_files: fates, issuer, ...counts } = report
      for (const [name, fate] of Object.entries(fates)) {
        if (fate !== 'kept_other') continue
        process.stderr.write(
          `warning: there is another ${name} already, which stays; the one in the backup was not restored\n`,
        )
      }
      if (issuer !== config.issuer.url) {
        process.stderr.write(
          `warning: the backup is of ${issuer}, but issuer.url is ${config.issuer.url}\n`,
        )
      }
      if (json) return writeJson(report)
      const keys = Object.entries(fates).map(([name, fate]) => `${name} (${FATES[fate]})`)
      writeFields({ ...counts, keys: keys.join(', ') || 'none in the backup' })
    })
}

const FATES = {
  restored: 'restored',
  same: 'there already',
  kept_other: 'not restored',
} as const
