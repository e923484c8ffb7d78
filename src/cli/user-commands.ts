import type { Command } from 'commander'
import { text as readAll } from 'node:stream/consumers'
import { z } from 'zod'
import { newPasswordSchema, newUserSchema, userUpdateSchema } from '../registry/user.ts'
import type { AdminApi } from './admin-api.ts'
import { addAdminCommand, adminApiOf } from './admin-command.ts'
import { CliError } from './cli-error.ts'
import { parseLimits, present, requireChange, requireValid } from './flag-values.ts'
import { addObjectCommand, showObject, type ObjectCommand } from './object-commands.ts'
import { formatTime, writeList } from './output.ts'
import { askUnseen, firstLineOf } from './unseen-input.ts'

const optionsSchema = z.object({
  tenant: z.string().optional(),
  name: z.string().optional(),
  scope: z.string().optional(),
  limits: z.string().optional(),
  passwordStdin: z.boolean().default(false),
  json: z.boolean().default(false),
})
type Options = z.infer<typeof optionsSchema>
const rowSchema = z.object({
  sub: z.string(),
  username: z.string(),
  tenant_id: z.string(),
  status: z.string(),
  scope: z.string(),
  created_at: z.number(),
  name: z.string(),
})

const PASSWORD = [
  '--password-stdin',
  'read the password from standard input, up to the end of the line; else it is asked for',
] as const
const TENANT = ['--tenant <tenant>', 'tenant of the user (default: default)'] as const

export function userCommands(program: Command): void {
  const users = program.command('users').description('people who may sign in')

  addUserFlags(
    addAdminCommand(users, {
      name: 'create <username>',
      description: 'make a user',
      examples: [
        'users create zhang.wei --tenant acme',
        'users create zhang.wei --tenant acme --password-stdin < password.txt',
      ],
    }),
  )
    .option(...PASSWORD)
    .action(async (username: string, _options, command: Command) => {
      const options = optionsSchema.parse(command.opts())
      const password = await readPassword(options)
      const asked = { username, password, ...present({ tenant_id: options.tenant }) }
      const body = requireValid(newUserSchema, { ...asked, ...settings(options) })
      const api = await adminApiOf(command)
      showObject(await api.create('users', body), options)
    })

  addAdminCommand(users, {
    name: 'list',
    description: 'list the users',
    examples: ['users list --tenant acme'],
  })
    .option('--tenant <tenant>', 'only those of this tenant')
    .action(async (_options, command: Command) => {
      const { tenant, json } = optionsSchema.parse(command.opts())
      const api = await adminApiOf(command)
      await writeList({
        pages: api.pages({ path: 'users', query: { tenant_id: tenant } }),
        json,
        headings: ['USERNAME', 'TENANT', 'STATUS', 'SCOPE', 'CREATED', 'SUBJECT', 'NAME'],
        toRow: (item) => {
          const { username, tenant_id, status, scope, created_at, sub, name } =
            rowSchema.parse(item)
          return [username, tenant_id, status, scope, formatTime(created_at), sub, name]
        },
      })
    })

  addUserFlags(
    addAdminCommand(users, {
      name: 'update <user>',
      description: 'change what is named',
      examples: ['users update zhang.wei --tenant acme --name 张伟'],
    }),
  ).action(async (user: string, _options, command: Command) => {
    const options = optionsSchema.parse(command.opts())
    const body = requireChange(userUpdateSchema, settings(options))
    const api = await adminApiOf(command)
    const path = `users/${encodeURIComponent(await findSubject(api, user, command))}`
    showObject(await api.call({ method: 'PATCH', path, body }), options)
  })

  addAdminCommand(users, {
    name: 'set-password <user>',
    description: 'set a password and revoke the tokens of the user',
    examples: ['users set-password zhang.wei --tenant acme --password-stdin < password.txt'],
  })
    .option(...TENANT)
    .option(...PASSWORD)
    .action(async (user: string, _options, command: Command) => {
      const options = optionsSchema.parse(command.opts())
      const body = requireValid(newPasswordSchema, { password: await readPassword(options) })
      const api = await adminApiOf(command)
      const subject = encodeURIComponent(await findSubject(api, user, command))
      showObject(
        await api.call({ method: 'PUT', path: `users/${subject}/password`, body }),
        options,
      )
    })

  const add = (wanted: Pick<ObjectCommand, 'verb' | 'description'>) =>
    addObjectCommand(users, {
      ...wanted,
      noun: 'user',
      collection: 'users',
      example: 'zhang.wei --tenant acme',
      resolve: findSubject,
    }).option(...TENANT)
  add({ verb: 'show', description: 'show a user, by name or by user:<uuid>' })
  add({ verb: 'disable', description: 'no tokens from now on; those that there are, are revoked' })
  add({ verb: 'enable', description: 'tokens again' })
  add({ verb: 'delete', description: 'delete a user' })
}

function addUserFlags(command: Command): Command {
  return command
    .option(...TENANT)
    .option('--name <name>', 'what people call the user')
    .option('--scope <scopes>', 'all that the user may be granted (default: ocr_api_access)')
    .option('--limits <limits>', 'of the user: rpm=60,concurrency=4,… or none')
}

const settings = ({ name, scope, limits }: Options) =>
  present({ name, scope, limits: limits === undefined ? undefined : parseLimits(limits) })

async function readPassword({ passwordStdin }: Options): Promise<string> {
  if (passwordStdin) return firstLineOf(await readAll(process.stdin))
  const otherwise = 'give --password-stdin: a password does not belong into a command'
  return askUnseen(['Password: ', 'The same again: '], otherwise)
}

/** People are named by their username; their subject is fine, too. */
async function findSubject(api: AdminApi, user: string, command: Command): Promise<string> {
  if (user.startsWith('user:')) return user
  const { tenant = 'default' } = optionsSchema.parse(command.opts())
  const query = { tenant_id: tenant, username: user }
  const { items } = z
    .object({ items: z.array(rowSchema) })
    .parse(await api.call({ path: 'users', query }))
  const [found] = items
  if (found === undefined) {
    throw new CliError(`there is no user ${user} in the tenant ${tenant}`, {
      hint: 'name the tenant with --tenant; see: users list',
    })
  }
  return found.sub
}
