import type { Command } from 'commander'
import { configJsonSchema, listSettings, valueOf } from '../config/settings.ts'
import { listenerOf } from './listener.ts'
import { modelServersOf } from './model-servers.ts'
import { settingsOf } from './settings-of.ts'
import { readTrustedCa } from './trusted-ca.ts'

export function configCommands(program: Command): void {
  const config = program.command('config').description('look at the configuration')

  config
    .command('check')
    .description('list every problem of the configuration, without starting anything')
    .option('--json', 'one JSON document')
    .addHelpText('after', example('--config gatehouse.yaml config check'))
    .action((options: { json?: true }, command: Command) => {
      const { config, warnings } = settingsOf(command)
      listenerOf(config, 'issuer')
      listenerOf(config, 'admin')
      listenerOf(config, 'proxy')
      modelServersOf(config)
      readTrustedCa(config)
      for (const warning of warnings) process.stderr.write(`warning: ${warning}\n`)
      const answer = JSON.stringify({ status: 'ok', warnings })
      process.stdout.write(options.json === true ? `${answer}\n` : 'The configuration is good.\n')
    })

  config
    .command('print')
    .description('print every setting as it takes effect; secrets are left out')
    .option('--json', 'one JSON document')
    .addHelpText('after', example('config print'))
    .action((options: { json?: true }, command: Command) => {
      const { config, given } = settingsOf(command)
      const rows = listSettings().map(({ path, isSecret }) => {
        const value = valueOf(config, path)
        return {
          path,
          value: isSecret && value !== undefined ? '(secret)' : value,
          isGiven: given.has(path),
        }
      })
      if (options.json === true) {
        const values = Object.fromEntries(rows.map(({ path, value }) => [path, value ?? null]))
        process.stdout.write(`${JSON.stringify(values, hideKeys, 2)}\n`)
        return
      }
      for (const { path, value, isGiven } of rows) {
        process.stdout.write(
          `${path}: ${JSON.stringify(value, hideKeys) ?? 'none'}${isGiven ? '' : '  (default)'}\n`,
        )
      }
    })

  config
    .command('schema')
    .description('print the JSON Schema of the configuration file')
    .option('--json', 'it is JSON in any case')
    .addHelpText('after', example('config schema > gatehouse.schema.json'))
    .action(() => {
      process.stdout.write(`${JSON.stringify(configJsonSchema(), null, 2)}\n`)
    })
}

/** The keys of model servers stand within a list. */
const hideKeys = (name: string, value: unknown): unknown => (name === 'apiKey' ? '(secret)' : value)

const example = (command: string) => `\nExample:\n  npm run -s gatehouse -- ${command}`
