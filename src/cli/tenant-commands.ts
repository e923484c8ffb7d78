import type { Command } from 'commander'
import { z } from 'zod'
import { newTenantSchema, tenantUpdateSchema } from '../registry/tenant.ts'
import { addAdminCommand, adminApiOf } from './admin-command.ts'
import { parseLimits, present, requireChange, requireValid, usage } from './flag-values.ts'
import { formatTime, writeList } from './output.ts'
import { addObjectCommand, showObject } from './object-commands.ts'

const optionsSchema = z.object({
  id: z.string().optional(),
  name: z.string().optional(),
  limits: z.string().optional(),
  json: z.boolean().default(false),
})
const rowSchema = z.object({
  tenant_id: z.string(),
  status: z.string(),
  name: z.string(),
  created_at: z.number(),
})

const LIMITS = 'tenant.rpm=600,client.rpm=60,subject.daily_requests=100,weight=2,… or none'

export function tenantCommands(program: Command): void {
  const tenants = program.command('tenants').description('customers, each with clients and users')

  addAdminCommand(tenants, {
    name: 'create [tenant]',
    description: 'make a tenant',
    examples: ['tenants create acme --name "Acme" --limits tenant.rpm=600'],
  })
    .option(
      '--id <id>',
      'the same as the argument: 1 to 128 of A-Z a-z 0-9 . _ ~ - (default: a new UUID)',
    )
    .option('--name <name>', 'what people call it')
    .option('--limits <limits>', LIMITS)
    .action(async (tenant: string | undefined, _options, command: Command) => {
      const options = optionsSchema.parse(command.opts())
      if (tenant !== undefined && options.id !== undefined) throw usage('the id is given twice')
      const body = requireValid(
        newTenantSchema,
        present({ tenant_id: tenant ?? options.id, ...settings(options) }),
      )
      const api = await adminApiOf(command)
      showObject(await api.create('tenants', body), options)
    })

  addAdminCommand(tenants, {
    name: 'list',
    description: 'list the tenants',
    examples: ['tenants list', 'tenants list --json'],
  }).action(async (_options, command: Command) => {
    const { json } = optionsSchema.parse(command.opts())
    const api = await adminApiOf(command)
    await writeList({
      pages: api.pages({ path: 'tenants' }),
      json,
      headings: ['TENANT', 'STATUS', 'CREATED', 'NAME'],
      toRow: (item) => {
        const { tenant_id: id, status, name, created_at: createdAt } = rowSchema.parse(item)
        return [id, status, formatTime(createdAt), name]
      },
    })
  })

  addAdminCommand(tenants, {
    name: 'update <tenant>',
    description: 'change what is named',
    examples: ['tenants update acme --name "Acme Ltd" --limits none'],
  })
    .option('--name <name>', 'what people call it')
    .option('--limits <limits>', LIMITS)
    .action(async (tenant: string, _options, command: Command) => {
      const options = optionsSchema.parse(command.opts())
      const body = requireChange(tenantUpdateSchema, settings(options))
      const api = await adminApiOf(command)
      const path = `tenants/${encodeURIComponent(tenant)}`
      showObject(await api.call({ method: 'PATCH', path, body }), options)
    })

  const object = { noun: 'tenant', collection: 'tenants', example: 'acme' }
  addObjectCommand(tenants, { ...object, verb: 'show', description: 'show a tenant' })
  addObjectCommand(tenants, {
    ...object,
    verb: 'suspend',
    description: 'no tokens from now on; those that its clients and users have are revoked',
  })
  addObjectCommand(tenants, { ...object, verb: 'resume', description: 'tokens again' })
  addObjectCommand(tenants, {
    ...object,
    verb: 'delete',
    description: 'delete a tenant with its clients and users',
  })
}

const settings = ({ name, limits }: z.infer<typeof optionsSchema>) =>
  present({ name, limits: limits === undefined ? undefined : parseLimits(limits) })
