import type { Command } from 'commander'
import { z } from 'zod'
import { addAdminCommand, adminApiOf } from './admin-command.ts'
import { INSTANCE_HEADINGS, instanceRow, instanceSchema } from './instance-rows.ts'
import { formatTime, writeFields, writeJson } from './output.ts'
import { formatTable } from './table.ts'

const optionsSchema = z.object({ json: z.boolean().default(false) }).loose()
const secretSchema = z.object({
  client_id: z.string(),
  expires_at: z.number(),
  is_last: z.boolean(),
})
const statusSchema = z.object({
  issuer: z.string(),
  store: z.object({
    backend: z.string(),
    version: z.string(),
    latency_ms: z.number(),
    size_bytes: z.number(),
    warnings: z.array(z.string()),
  }),
  keys: z.array(z.object({ kid: z.string(), state: z.string() })),
  // Issuers of the release before tell neither.
  expiring_secrets: z.array(secretSchema).default([]),
  instances: z.array(instanceSchema).default([]),
})

export function statusCommand(program: Command): void {
  addAdminCommand(program, {
    name: 'status',
    description: 'how the installation is: store, keys, every issuer and proxy, what expires',
    examples: ['status', 'status --admin-url https://admin.example:9001 --admin-key admin.jwk'],
  }).action(async (_options, command: Command) => {
    const { json } = optionsSchema.parse(command.opts())
    const answer = await (await adminApiOf(command)).call({ path: 'status' })
    if (json) return writeJson(answer)
    const { issuer, store, keys, instances, expiring_secrets: secrets } = statusSchema.parse(answer)
    writeFields({
      issuer,
      store: `${store.backend} ${store.version}, ${store.latency_ms.toFixed(1)} ms, ${formatBytes(store.size_bytes)}`,
      ...Object.fromEntries(keys.map(({ kid, state }) => [`key ${state}`, kid])),
    })
    process.stdout.write(`\n${formatTable(INSTANCE_HEADINGS, instances.map(instanceRow))}\n`)
    const warnings = [...store.warnings, ...secrets.map(describeSecret)]
    for (const warning of warnings) process.stderr.write(`warning: ${warning}\n`)
  })
}

const describeSecret = (secret: z.infer<typeof secretSchema>): string => {
  const which = secret.is_last ? 'the last secret' : 'a secret in use'
  return `${which} of the client ${secret.client_id} expires at ${formatTime(secret.expires_at)}`
}

const formatBytes = (bytes: number): string =>
  bytes < 1e6 ? `${(bytes / 1e3).toFixed(1)} kB` : `${(bytes / 1e6).toFixed(1)} MB`
