import { Command, Option } from 'commander'
import { auditCommands } from './audit-commands.ts'
import { backupCommand } from './backup-command.ts'
import { EXIT, reportError } from './cli-error.ts'
import { clientCommands } from './client-commands.ts'
import { configCommands } from './config-commands.ts'
import { keyCommands } from './key-commands.ts'
import { loginCommands } from './login-commands.ts'
import { ocrCommand } from './ocr-command.ts'
import { ownVersion } from './own-version.ts'
import { devCertCommand } from './dev-cert-command.ts'
import { completionCommand } from './completion-command.ts'
import { initCommand } from './init-command.ts'
import { restoreCommand } from './restore-command.ts'
import { revokeCommand } from './revoke-command.ts'
import { statusCommand } from './status-command.ts'
import { tenantCommands } from './tenant-commands.ts'
import { usageCommand } from './usage-command.ts'
import { userCommands } from './user-commands.ts'
import { serveCommands } from './serve-commands.ts'
import { tokenCommands } from './token-commands.ts'

const COMMANDS = [
  serveCommands,
  initCommand,
  devCertCommand,
  statusCommand,
  configCommands,
  tenantCommands,
  clientCommands,
  userCommands,
  keyCommands,
  tokenCommands,
  revokeCommand,
  auditCommands,
  usageCommand,
  backupCommand,
  restoreCommand,
  loginCommands,
  ocrCommand,
  completionCommand,
]

/** Runs the command of this process's arguments and exits with its code when it fails. */
export async function run(): Promise<void> {
  process.stdout.on('error', stopWithoutReader)
  const program = new Command('gatehouse')
    .description('Token issuer and verifying proxy for HunyuanOCR and other self-hosted OCR models')
    .version(ownVersion())
    .option('--config <file>', 'YAML configuration file (or GATEHOUSE_CONFIG)')
    .addOption(
      new Option('--set <setting=value>', 'override one setting; repeatable')
        .argParser((value: string, earlier: string[]) => [...earlier, value])
        .default([], 'none'),
    )
    .exitOverride()
    .showHelpAfterError('hint: --help says what it takes')

  for (const add of COMMANDS) add(program)
  try {
    await program.parseAsync()
  } catch (error) {
    // What has started by then (a first listener, say) must not keep a failed command alive.
    process.exit(reportError(error, process.stderr))
  }
}

/** `gatehouse … | head` has read enough: that is no failure. A full disk is. */
function stopWithoutReader(error: NodeJS.ErrnoException): void {
  if (error.code !== 'EPIPE')
    process.stderr.write(`error: cannot write the output (${error.code})\n`)
  process.exit(error.code === 'EPIPE' ? 0 : EXIT.failed)
}
