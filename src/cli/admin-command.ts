import type { Command } from 'commander'
import { z } from 'zod'
import { readAdminPlaces } from '../config/load.ts'
import type { Config } from '../config/schema.ts'
import { loadClientKey } from '../keys/client-key-file.ts'
import { connectAdminApi, type AdminApi } from './admin-api.ts'
import { adminKeyPathOf } from './admin-bootstrap.ts'
import { CliError } from './cli-error.ts'
import { connectingSettingsOf } from './settings-of.ts'

export type AdminCommand = {
  /** With its arguments, such as `show <id>`. */
  name: string
  description: string
  /** Without the word `gatehouse`. */
  examples: readonly string[]
}

const optionsSchema = z.object({ adminUrl: z.string().optional(), adminKey: z.string().optional() })

/** Adds a command that works through the admin API. */
export function addAdminCommand(
  parent: Command,
  { name, description, examples }: AdminCommand,
): Command {
  const lines = examples.map((example) => `  npm run -s gatehouse -- ${example}`)
  return parent
    .command(name)
    .description(description)
    .option('--admin-url <url>', 'default: GATEHOUSE_ADMIN_URL, else admin.listen on this machine')
    .option('--admin-key <file>', 'default: GATEHOUSE_ADMIN_KEY_FILE, else keys/admin.jwk')
    .option('--json', "one JSON document, in the admin API's own representation")
    .addHelpText('after', `\nExample:\n${lines.join('\n')}`)
}

/** Signs in as the options, the environment and the configuration say. A CliError when there is no key. */
export async function adminApiOf(command: Command): Promise<AdminApi> {
  const { config } = connectingSettingsOf(command)
  const options = optionsSchema.parse(command.opts())
  const places = readAdminPlaces()
  const keyFile = options.adminKey ?? places.keyFile ?? adminKeyPathOf(config)
  const key = await loadClientKey(keyFile)
  if (key === undefined) {
    throw new CliError(`there is no admin key at ${keyFile}`, {
      hint: 'the first start or init of the server makes it; name a copy with --admin-key',
    })
  }
  const url = options.adminUrl ?? places.url ?? ownAdminUrl(config)
  return connectAdminApi(url.replace(/\/+$/, ''), key)
}

function ownAdminUrl({ admin }: Config): string {
  const scheme = admin.tls.cert === undefined ? 'http' : 'https'
  const { listen } = admin
  return `${scheme}://${listen.replace(/^(0\.0\.0\.0|\[::\]):/, 'localhost:')}`
}
