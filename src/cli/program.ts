import { Command, Option } from 'commander'
import { EXIT, reportError } from './cli-error.ts'
import { addCommands } from './commands.ts'
import { ownVersion } from './own-version.ts'

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

  await addCommands(program, process.argv.slice(2))
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
