import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { z } from 'zod'

/** What a process of registry-issuer.ts says about itself. */
const servedSchema = z.object({
  hashing: z.string(),
  plain: z.string(),
  clients: z.array(z.object({ clientId: z.string(), clientSecret: z.string() })),
  paging: z.object({
    clients: z.number(),
    seconds: z.number(),
    slowestPageMs: z.number(),
    peakHeapGrowthBytes: z.number(),
  }),
})
export type ServedIssuer = z.infer<typeof servedSchema>

const ISSUER = fileURLToPath(new URL('./registry-issuer.ts', import.meta.url))

/** Starts an issuer with so many clients in a process and a folder of its own. */
export async function startIssuerOf(
  clients: number,
): Promise<ServedIssuer & { stop: () => Promise<void> }> {
  const folder = await mkdtemp(join(tmpdir(), 'gatehouse-bench-'))
  const child = spawn(process.execPath, ['--expose-gc', ISSUER, folder, String(clients)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  return {
    ...servedSchema.parse(JSON.parse(await firstLineOf(child))),
    stop: async () => {
      child.kill()
      await once(child, 'exit')
      await rm(folder, { recursive: true })
    },
  }
}

/** The first line on its standard output, for which that is a pipe. */
export async function firstLineOf({ stdout }: ChildProcess): Promise<string> {
  if (stdout === null) throw new Error('the standard output is no pipe')
  for await (const line of createInterface(stdout)) return line
  throw new Error('the process ended without a line')
}
