import type { Command } from 'commander'
import { z } from 'zod'
import type { Config } from '../config/schema.ts'
import { systemClock } from '../kernel/clock.ts'
import { AppError } from '../kernel/errors.ts'
import { createLog } from '../kernel/log.ts'
import { newClientSchema, type Client, type NewClient } from '../registry/client.ts'
import type { Clients } from '../registry/registry.ts'
import { CliError, EXIT } from './cli-error.ts'
import { resourcesOf } from './compose.ts'
import { openRegistry } from './open-registry.ts'
import { settingsOf } from './settings-of.ts'
import { formatTable } from './table.ts'

const createOptions = z.object({
  id: z.string().optional(),
  tenant: z.string().optional(),
  name: z.string().optional(),
  scope: z.string().optional(),
  grant: z.string().optional(),
  authMethod: z.string().optional(),
  limits: z.string().optional(),
  json: z.boolean().default(false),
})
type CreateOptions = z.infer<typeof createOptions>

export function clientCommands(program: Command): void {
  const clients = program.command('clients').description('who may get tokens')

  clients
    .command('create')
    .description('make a client and show its secret, once')
    .option('--id <id>', 'client id, 1 to 128 of A-Z a-z 0-9 . _ ~ - (default: a new UUID)')
    .option('--tenant <tenant>', 'tenant that it belongs to (default: default)')
    .option('--name <name>', 'what people call it')
    .option('--scope <scopes>', 'scopes that it may ask for (default: ocr_api_access)')
    .option('--grant <grants>', 'client_credentials, the only grant in this version')
    .option('--auth-method <method>', 'client_secret_basic (default) or client_secret_post')
    .option(
      '--limits <limits>',
      'of the client as a whole: rpm=60,concurrency=4,daily_requests=N,daily_tokens=N',
    )
    .option('--json', 'one JSON document')
    .addHelpText(
      'after',
      '\nExample:\n  npm run -s gatehouse -- clients create --name "Invoice robot" --limits rpm=60',
    )
    .action(async (_options, command: Command) => {
      const options = createOptions.parse(command.opts())
      const { config } = settingsOf(command)
      const request = parseRequest(options)
      requireKnownScopes(request, config)
      const { client, clientSecret } = await withClients(config, (all) => all.create(request))
      if (options.json) return writeJson({ ...client, client_secret: clientSecret })
      process.stdout.write(
        `client_id      ${client.client_id}\nclient_secret  ${clientSecret ?? '(none)'}\n`,
      )
      process.stderr.write('The secret is shown this once: keep it now.\n')
    })

  clients
    .command('list')
    .description('list the clients')
    .option('--json', 'one JSON document')
    .action(async (options: { json?: true }, command: Command) => {
      const { config } = settingsOf(command)
      const all = await withClients(config, listAll)
      if (options.json === true) return writeJson({ items: all })
      const rows = all.map((client) => [
        client.client_id,
        client.tenant_id,
        client.scope,
        new Date(client.created_at * 1000).toISOString(),
        client.name,
      ])
      process.stdout.write(
        `${formatTable(['CLIENT', 'TENANT', 'SCOPE', 'CREATED', 'NAME'], rows)}\n`,
      )
    })
}

/**
 * Works on the clients of the configured store. The embedded one belongs to the server while that runs: then this is
 * a ConfigError that says so. What the registry refuses is a CliError.
 */
async function withClients<T>(config: Config, work: (clients: Clients) => Promise<T>): Promise<T> {
  const surroundings = { clock: systemClock, log: createLog('silent') }
  const { registry, close } = await openRegistry(config, surroundings)
  try {
    return await work(registry.clients)
  } catch (error) {
    if (error instanceof AppError) throw new CliError(error.message, { cause: error })
    throw error
  } finally {
    await close()
  }
}

async function listAll(clients: Clients): Promise<Client[]> {
  const all: Client[] = []
  let cursor: string | undefined
  do {
    const page = await clients.list({ cursor, limit: 1000 })
    all.push(...page.items)
    cursor = page.next_cursor
  } while (cursor !== undefined)
  return all
}

/** Turns flags into a registry request; what is not valid is a usage error that names the flag's member. */
function parseRequest(options: CreateOptions): NewClient {
  const given = {
    client_id: options.id,
    tenant_id: options.tenant,
    name: options.name,
    scope: options.scope,
    grant_types: options.grant?.split(','),
    token_endpoint_auth_method: options.authMethod,
    limits: options.limits === undefined ? undefined : parseLimits(options.limits),
  }
  const present = Object.fromEntries(
    Object.entries(given).filter(([, value]) => value !== undefined),
  )
  const parsed = newClientSchema.safeParse(present)
  if (parsed.success) return parsed.data
  const issue = parsed.error.issues[0]
  throw new CliError(`${issue?.path.join('.') ?? 'client'}: ${issue?.message ?? 'not valid'}`, {
    exitCode: EXIT.usage,
  })
}

function requireKnownScopes({ scope }: NewClient, config: Config): void {
  const known = Object.values(resourcesOf(config)).flatMap(({ scopes }) => scopes)
  const unknown = scope
    .split(' ')
    .find((candidate) => candidate !== '' && !known.includes(candidate))
  if (unknown === undefined) return
  throw new CliError(`scope: ${unknown} is not a scope of any resource`, {
    hint: `known scopes: ${known.join(', ')}`,
    exitCode: EXIT.usage,
  })
}

function parseLimits(text: string): Record<string, number> {
  return Object.fromEntries(
    text.split(',').map((part): [string, number] => {
      const [name = '', value = ''] = part.split('=')
      return [name, Number(value)]
    }),
  )
}

function writeJson(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value, null, 2)}\n`)
}
