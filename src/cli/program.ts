import { Command, Option } from 'commander'
import { backupCommand } from './backup-command.ts'
import { reportError } from './cli-error.ts'
import { clientCommands } from './client-commands.ts'
import { configCommands } from './config-commands.ts'
import { ocrCommand } from './ocr-command.ts'
import { completionCommand } from './completion-command.ts'
import { initCommand } from './init-command.ts'
import { restoreCommand } from './restore-command.ts'
import { statusCommand } from './status-command.ts'
import { tenantCommands } from './tenant-commands.ts'
import { userCommands } from './user-commands.ts'
import { serveCommands } from './serve-commands.ts'
import { tokenCommands } from './token-commands.ts'

const COMMANDS = [
  serveCommands,
  initCommand,
  statusCommand,
  configCommands,
  tenantCommands,
  clientCommands,
  userCommands,
  tokenCommands,
  backupCommand,
  restoreCommand,
  ocrCommand,
  completionCommand,
]

/** Runs the command of this process's arguments and exits with its code when it fails. */
export async function run(): Promise<void> {
  process.stdout.on('error', stopWithoutReader)
  const program = new Command('gatehouse')
    .description('Token issuer and verifying proxy for HunyuanOCR and other self-hosted OCR models')
    .option('--config <file>', 'YAML configuration file (or GATEHOUSE_CONFIG)')
    .addOption(
      new Option('--set <setting=value>', 'override one setting; repeatable')
        .argParser((value: string, earlier: string[]) => [...earlier, value])
        .default([], 'none'),
    )
    .exitOverride()
    .showHelpAfterError('(add --help for what it takes)')

  for (const add of COMMANDS) add(program)
  try {
    await program.parseAsync()
  } catch (error) {
    // What has started by then (a first listener, say) must not keep a failed command alive.
    process.exit(reportError(error, process.stderr))
  }
}

/** `gatehouse … | head` has read enough: that is no failure. */
function stopWithoutReader(error: NodeJS.ErrnoException): void {
  if (error.code === 'EPIPE') process.exit(0)
  throw error
}
