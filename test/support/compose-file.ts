import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { parse } from 'yaml'
import { z } from 'zod'

const names = z.array(z.string()).default([])

const service = z.object({
  image: z.string(),
  build: z.object({ context: z.string(), dockerfile: z.string(), target: z.string() }).optional(),
  profiles: names,
  user: z.string().optional(),
  entrypoint: z.array(z.string()).optional(),
  command: z.array(z.string()).optional(),
  environment: z.record(z.string(), z.string()).default({}),
  secrets: names,
  volumes: names,
  tmpfs: names,
  networks: names,
  ports: names,
  read_only: z.boolean().default(false),
  cap_drop: names,
  cap_add: names,
  security_opt: names,
  privileged: z.boolean().default(false),
  network_mode: z.string().optional(),
  restart: z.string().optional(),
  stop_grace_period: z.string().optional(),
  deploy: z.object({ replicas: z.coerce.number().optional() }).optional(),
  depends_on: z
    .record(z.string(), z.object({ condition: z.string(), required: z.boolean().default(true) }))
    .default({}),
  healthcheck: z.object({ test: z.array(z.string()) }).optional(),
})

const compose = z.object({
  name: z.string(),
  services: z.record(z.string(), service),
  networks: z.record(z.string(), z.object({ internal: z.boolean().default(false) }).nullable()),
  volumes: z.record(z.string(), z.unknown()),
  secrets: z.record(z.string(), z.object({ file: z.string() })),
})

export type ComposeService = z.infer<typeof service>
export type Compose = z.infer<typeof compose>

const PATH = fileURLToPath(new URL('../../docker-compose.yml', import.meta.url))

/** docker-compose.yml as `docker compose` sees it with those variables. */
export function readComposeFile(variables: Readonly<Record<string, string>> = {}): Compose {
  const fill = (node: unknown): unknown => {
    if (typeof node === 'string') return interpolate(node, variables)
    if (Array.isArray(node)) return node.map(fill)
    if (typeof node !== 'object' || node === null) return node
    return Object.fromEntries(Object.entries(node).map(([key, value]) => [key, fill(value)]))
  }
  return compose.parse(fill(parse(readFileSync(PATH, 'utf8'), { merge: true })))
}

/** `${NAME}`, `${NAME-default}`, `${NAME:-default}` and `$$`. */
function interpolate(text: string, variables: Readonly<Record<string, string>>): string {
  return text.replaceAll(/\$(?:\$|\{[^}]*\})/g, (found) => {
    const match = /^\$\{(\w+)(?:(:?-)(.*))?\}$/.exec(found)
    if (match === null) return '$'
    const [, name = '', operator = '', fallback = ''] = match
    const value = variables[name]
    return value === undefined || (operator === ':-' && value === '') ? fallback : value
  })
}
