import type { Command } from 'commander'
import { z } from 'zod'
import { addAdminCommand, adminApiOf } from './admin-command.ts'
import { writeFields, writeJson } from './output.ts'

const optionsSchema = z.object({ json: z.boolean().default(false) }).loose()
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
})

export function statusCommand(program: Command): void {
  addAdminCommand(program, {
    name: 'status',
    description: 'how the server is',
    examples: ['status', 'status --admin-url https://admin.example:9001 --admin-key admin.jwk'],
  }).action(async (_options, command: Command) => {
    const { json } = optionsSchema.parse(command.opts())
    const answer = await (await adminApiOf(command)).call({ path: 'status' })
    if (json) return writeJson(answer)
    const { issuer, store, keys } = statusSchema.parse(answer)
    writeFields({
      issuer,
      store: `${store.backend} ${store.version}, ${store.latency_ms.toFixed(1)} ms, ${formatBytes(store.size_bytes)}`,
      ...Object.fromEntries(keys.map(({ kid, state }) => [`key ${state}`, kid])),
    })
    for (const warning of store.warnings) process.stderr.write(`warning: ${warning}\n`)
  })
}

const formatBytes = (bytes: number): string =>
  bytes < 1e6 ? `${(bytes / 1e3).toFixed(1)} kB` : `${(bytes / 1e6).toFixed(1)} MB`
