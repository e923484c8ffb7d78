import type { Command } from 'commander'
import { z } from 'zod'
import { systemClock } from '../kernel/clock.ts'
import { addAdminCommand, adminApiOf } from './admin-command.ts'
import { writeFields, writeJson } from './output.ts'
import { addPassphraseFlags, readNewPassphrase } from './passphrase.ts'
import { settingsOf } from './settings-of.ts'

const optionsSchema = z.object({ json: z.boolean().default(false) }).loose()

export function backupCommand(program: Command): void {
  addPassphraseFlags(
    addAdminCommand(program, {
      name: 'backup <file>',
      description:
        'write all that the running server keeps into a file, encrypted with a passphrase',
      examples: [
        'backup gatehouse.backup',
        'backup /mnt/backups/gatehouse.backup --passphrase-file /etc/gatehouse/passphrase',
      ],
    }),
  ).action(async (path: string, _options, command: Command) => {
    const { json } = optionsSchema.parse(command.opts())
    const { config } = settingsOf(command)
    const passphrase = await readNewPassphrase(command)
    const api = await adminApiOf(command)
    const { makeBackup } = await import('./make-backup.ts')
    const report = await makeBackup({ api, config, clock: systemClock, path, passphrase })
    if (report.key_files.length === 0) {
      process.stderr.write(
        `warning: the signing keys are not in the backup: ${config.keys.dir} on this machine does not have the server's\n`,
      )
    }
    if (json) return writeJson({ file: path, ...report })
    const { key_files: keyFiles, ...counts } = report
    writeFields({ file: path, ...counts, keys: keyFiles.join(', ') || 'none' })
  })
}
