import type { Command } from 'commander'
import { z } from 'zod'
import type { Config } from '../config/schema.ts'
import { AuthError } from '../kernel/errors.ts'
import { inspectToken } from '../tokens/inspect.ts'
import { CliError } from './cli-error.ts'
import { requestToken, type TokenResponse } from './client-http.ts'
import { explainCommand, readToken } from './explain-command.ts'
import { readDemoClient } from './demo-client.ts'
import { connectingSettingsOf } from './settings-of.ts'

const credentialOptions = z.object({
  clientId: z.string().optional(),
  clientSecret: z.string().optional(),
})
const issueOptions = credentialOptions.extend({
  scope: z.string().optional(),
  resource: z.string().optional(),
  json: z.boolean().default(false),
})

export function tokenCommands(program: Command): void {
  const tokens = program.command('tokens').description('get a token, or look into one')

  addCredentialOptions(tokens.command('issue'))
    .description('get an access token by client credentials and print it')
    .option('--scope <scopes>', 'default: all that the client may have')
    .option('--resource <uri>', 'default: the proxy')
    .option('--json', "the issuer's whole answer")
    .addHelpText('after', '\nExample:\n  TOKEN=$(npm run -s gatehouse -- tokens issue)')
    .action(async (_options, command: Command) => {
      const options = issueOptions.parse(command.opts())
      const { config } = connectingSettingsOf(command)
      const token = await tokenFor(config, options)
      process.stdout.write(
        options.json ? `${JSON.stringify(token, null, 2)}\n` : `${token.access_token}\n`,
      )
    })

  tokens
    .command('inspect')
    .description('show what a token says, without verifying anything')
    .argument('<token>', 'the token, or - to read it from standard input')
    .option('--json', 'one JSON document')
    .action(async (argument: string, options: { json?: true }) => {
      const inspected = inspect(await readToken(argument))
      if (options.json === true) {
        process.stdout.write(`${JSON.stringify(inspected, null, 2)}\n`)
        return
      }
      for (const [part, members] of Object.entries({
        header: inspected.header,
        payload: inspected.payload,
      })) {
        process.stdout.write(`${part}\n`)
        for (const [name, value] of Object.entries(members)) {
          const time = inspected.times[name]
          const note = part === 'payload' && time !== undefined ? `  (${time})` : ''
          process.stdout.write(`  ${name}: ${JSON.stringify(value)}${note}\n`)
        }
      }
      process.stderr.write('Nothing was verified: anyone can write a token that says this.\n')
    })

  explainCommand(tokens)
}

export function addCredentialOptions(command: Command): Command {
  return command
    .option('--client-id <id>', "default: the demo client's")
    .option('--client-secret <secret>', "default: the demo client's")
}

/** An access token of the client that is named, or of the demo client. */
export async function tokenFor(
  config: Config,
  options: z.infer<typeof credentialOptions> & {
    scope?: string | undefined
    resource?: string | undefined
  },
): Promise<TokenResponse> {
  const { clientId, clientSecret, scope, resource } = options
  if ((clientId === undefined) !== (clientSecret === undefined)) {
    throw new CliError('--client-id and --client-secret go together', { exitCode: 64 })
  }
  const demo = clientId === undefined ? await readDemoClient(config) : undefined
  const credentials =
    clientId === undefined || clientSecret === undefined
      ? demo && { clientId: demo.client_id, clientSecret: demo.client_secret }
      : { clientId, clientSecret }
  if (credentials === undefined) {
    throw new CliError('there is no demo client here', {
      hint: 'login, or name a client with --client-id and --client-secret; clients create makes one',
    })
  }
  return requestToken({ issuer: config.issuer.url, ...credentials, scope, resource })
}

function inspect(token: string) {
  try {
    return inspectToken(token)
  } catch (error) {
    if (error instanceof AuthError)
      throw new CliError(`not a JWT in compact form (${error.reason})`)
    throw error
  }
}
