import type { Command } from 'commander'
import { z } from 'zod'
import { newSecretSchema } from '../registry/client-secret.ts'
import type { AdminApi } from './admin-api.ts'
import { addAdminCommand, adminApiOf } from './admin-command.ts'
import { CliError } from './cli-error.ts'
import { present, requireValid, usage } from './flag-values.ts'
import { formatTime, writeFields, writeJson } from './output.ts'
import { formatTable } from './table.ts'

const optionsSchema = z.object({
  label: z.string().optional(),
  expires: z.string().optional(),
  force: z.boolean().default(false),
  json: z.boolean().default(false),
})
const secretSchema = z.object({
  secret_id: z.string(),
  label: z.string().default(''),
  created_at: z.number(),
  expires_at: z.number().optional(),
  last_used_at: z.number().optional(),
})
const addedSchema = z.looseObject({ secret_id: z.string(), client_secret: z.string().optional() })
const listSchema = z.object({ items: z.array(secretSchema) })

export function addSecretCommands(clients: Command): void {
  addAdminCommand(clients, {
    name: 'rotate-secret <client>',
    description:
      'give a client another secret, shown once; the old ones work until they are removed',
    examples: ['clients rotate-secret robot', 'clients rotate-secret robot --expires 2027-01-01'],
  })
    .option('--label <label>', 'what people call the secret')
    .option('--expires <time>', 'when it ends, such as 2027-01-01 or 2027-01-01T12:00:00Z')
    .action(async (client: string, _options, command: Command) => {
      const { label, expires, json } = optionsSchema.parse(command.opts())
      const expiresAt = expires === undefined ? undefined : parseTime(expires)
      const body = requireValid(newSecretSchema, present({ label, expires_at: expiresAt }))
      const api = await adminApiOf(command)
      const answer = await api.create(secretsOf(client), body)
      if (json) return writeJson(answer)
      const { secret_id, client_secret } = addedSchema.parse(answer)
      if (client_secret === undefined) {
        throw new CliError(`the secret ${secret_id} was made, but lost with the first answer`, {
          hint: `clients remove-secret ${client} ${secret_id}, then make another`,
        })
      }
      writeFields({ client_id: client, secret_id, client_secret })
      process.stderr.write(
        'The secret is shown this once: keep it now. Once nobody uses the old one any more, remove it.\n',
      )
    })

  addAdminCommand(clients, {
    name: 'list-secrets <client>',
    description: 'list the secrets of a client by their ids, and when each was used last',
    examples: ['clients list-secrets robot --json'],
  }).action(async (client: string, _options, command: Command) => {
    const { json } = optionsSchema.parse(command.opts())
    const api = await adminApiOf(command)
    if (json) writeJson(await api.call({ path: secretsOf(client) }))
    else await writeSecrets(api, client)
  })

  addAdminCommand(clients, {
    name: 'remove-secret <client> <secret-id>',
    description: 'remove a secret; `clients list-secrets` has their ids',
    examples: ['clients remove-secret robot 3fa85f64-5717-4562-b3fc-2c963f66afa6'],
  })
    .option('--force', 'also one that was used within the last day')
    .action(async (client: string, secretId: string, _options, command: Command) => {
      const { force, json } = optionsSchema.parse(command.opts())
      const api = await adminApiOf(command)
      const path = `${secretsOf(client)}/${encodeURIComponent(secretId)}`
      await api.call({ method: 'DELETE', path, query: { force: force ? 'true' : undefined } })
      if (json) writeJson({})
      else process.stdout.write(`The secret ${secretId} is removed.\n`)
    })
}

/** The secrets of a client, without the secrets themselves. */
export async function writeSecrets(api: AdminApi, client: string): Promise<void> {
  const { items } = listSchema.parse(await api.call({ path: secretsOf(client) }))
  const rows = items.map((secret) => [
    secret.secret_id,
    formatTime(secret.created_at),
    secret.expires_at === undefined ? 'never' : formatTime(secret.expires_at),
    secret.last_used_at === undefined ? 'never' : formatTime(secret.last_used_at),
    secret.label,
  ])
  const headings = ['SECRET', 'CREATED', 'EXPIRES', 'LAST USED', 'LABEL']
  process.stdout.write(`${formatTable(headings, rows)}\n`)
}

const secretsOf = (client: string) => `clients/${encodeURIComponent(client)}/secrets`

function parseTime(text: string): number {
  const time = /^\d{4}-\d{2}-\d{2}/.test(text) ? Date.parse(text) : Number.NaN
  if (Number.isNaN(time)) throw usage(`--expires: ${text} is not a time`)
  return Math.floor(time / 1000)
}
