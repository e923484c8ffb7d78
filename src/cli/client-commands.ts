import type { Command } from 'commander'
import { z } from 'zod'
import { clientAuthMethodSchema } from '../registry/client-metadata.ts'
import { usesSecret } from '../registry/client-rules.ts'
import { clientUpdateSchema, newClientSchema } from '../registry/client.ts'
import { addAdminCommand, adminApiOf } from './admin-command.ts'
import { CliError } from './cli-error.ts'
import { addClientFlags, readClientFlags } from './client-flags.ts'
import { present, requireChange, requireValid } from './flag-values.ts'
import { addObjectCommand, showObject } from './object-commands.ts'
import { addMakeKeyCommand } from './make-key-command.ts'
import { formatTime, writeFields, writeJson, writeList } from './output.ts'
import { addSecretCommands, writeSecrets } from './secret-commands.ts'

const optionsSchema = z.object({
  id: z.string().optional(),
  tenant: z.string().optional(),
  json: z.boolean().default(false),
})
const createdSchema = z.looseObject({
  client_id: z.string(),
  client_secret: z.string().optional(),
  token_endpoint_auth_method: clientAuthMethodSchema,
})
const rowSchema = z.object({
  client_id: z.string(),
  tenant_id: z.string(),
  status: z.string(),
  scope: z.string(),
  created_at: z.number(),
  name: z.string(),
})

export function clientCommands(program: Command): void {
  const clients = program.command('clients').description('who may get tokens')

  addClientFlags(
    addAdminCommand(clients, {
      name: 'create',
      description: 'make a client and show its secret, once',
      examples: [
        'clients create --name "Invoice robot" --limits rpm=60',
        'clients create --id web --grant authorization_code --redirect-uri https://app.example/cb',
      ],
    })
      .option('--id <id>', 'client id, 1 to 128 of A-Z a-z 0-9 . _ ~ - (default: a new UUID)')
      .option('--tenant <tenant>', 'tenant that it belongs to (default: default)'),
  ).action(async (_options, command: Command) => {
    const { id, tenant, json } = optionsSchema.parse(command.opts())
    const asked = {
      ...present({ client_id: id, tenant_id: tenant }),
      ...(await readClientFlags(command)),
    }
    const body = requireValid(newClientSchema, asked)
    const api = await adminApiOf(command)
    const answer = await api.create('clients', body)
    if (json) return writeJson(answer)
    const { client_id, client_secret, token_endpoint_auth_method } = createdSchema.parse(answer)
    if (client_secret === undefined && usesSecret(token_endpoint_auth_method)) {
      throw new CliError(`the client ${client_id} was made, but its secret was lost on the way`, {
        hint: `clients rotate-secret ${client_id}`,
      })
    }
    writeFields({ client_id, client_secret: client_secret ?? '(none)' })
    if (client_secret === undefined) return
    process.stderr.write('The secret is shown this once: keep it now.\n')
  })

  addAdminCommand(clients, {
    name: 'list',
    description: 'list the clients',
    examples: ['clients list', 'clients list --tenant acme --json'],
  })
    .option('--tenant <tenant>', 'only those of this tenant')
    .action(async (_options, command: Command) => {
      const { tenant, json } = optionsSchema.parse(command.opts())
      const api = await adminApiOf(command)
      await writeList({
        pages: api.pages({ path: 'clients', query: { tenant_id: tenant } }),
        json,
        headings: ['CLIENT', 'TENANT', 'STATUS', 'SCOPE', 'CREATED', 'NAME'],
        toRow: (item) => {
          const client = rowSchema.parse(item)
          const createdAt = formatTime(client.created_at)
          return [
            client.client_id,
            client.tenant_id,
            client.status,
            client.scope,
            createdAt,
            client.name,
          ]
        },
      })
    })

  addClientFlags(
    addAdminCommand(clients, {
      name: 'update <client>',
      description: 'change what is named',
      examples: ['clients update robot --limits rpm=600', 'clients update robot --limits none'],
    }),
  ).action(async (client: string, _options, command: Command) => {
    const options = optionsSchema.parse(command.opts())
    const body = requireChange(clientUpdateSchema, await readClientFlags(command))
    const api = await adminApiOf(command)
    const path = `clients/${encodeURIComponent(client)}`
    showObject(await api.call({ method: 'PATCH', path, body }), options)
  })

  const object = { noun: 'client', collection: 'clients', example: 'robot' }
  addObjectCommand(clients, {
    ...object,
    verb: 'show',
    description: 'show a client, and which secrets it has',
    addendum: async (api, client) => {
      process.stdout.write('\n')
      await writeSecrets(api, client)
    },
  })
  addSecretCommands(clients)
  addMakeKeyCommand(clients)
  addObjectCommand(clients, {
    ...object,
    verb: 'disable',
    description: 'no tokens from now on; those that it has are revoked',
  })
  addObjectCommand(clients, { ...object, verb: 'enable', description: 'tokens again' })
  addObjectCommand(clients, {
    ...object,
    verb: 'delete',
    description: 'delete a client; its id is never given again',
  })
}
