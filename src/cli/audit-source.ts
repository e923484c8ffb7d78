import { stat } from 'node:fs/promises'
import type { Command } from 'commander'
import { z } from 'zod'
import { auditRecordSchema } from '../audit/record.ts'
import type { AuditFilter } from '../audit/matcher.ts'
import { createFileArchive, type AuditArchive } from '../audit/search.ts'
import { adminApiOf } from './admin-command.ts'
import type { AdminApi } from './admin-api.ts'
import { CliError } from './cli-error.ts'
import { usage } from './flag-values.ts'

const pageSchema = z.object({
  items: z.array(auditRecordSchema),
  next_cursor: z.string().optional(),
})

/** The trail as a command reads it: the files in `--dir`, else what the server has. */
export async function auditSourceOf(command: Command): Promise<AuditArchive> {
  const { dir } = z.object({ dir: z.string().optional() }).loose().parse(command.opts())
  if (dir === undefined) return remoteArchive(await adminApiOf(command))
  await requireFolder(dir)
  return createFileArchive(dir)
}

export async function requireFolder(dir: string): Promise<void> {
  const found = await stat(dir).catch(() => undefined)
  if (found?.isDirectory() === true) return
  throw new CliError(`--dir: there is no folder ${dir}`, { hint: 'it is <dataDir>/audit' })
}

function remoteArchive(api: AdminApi): AuditArchive {
  const ask = async (filter: AuditFilter, more: Record<string, string | undefined>) => {
    const { fromMs, toMs, ...members } = filter
    const query = { ...members, from: isoTime(fromMs), to: isoTime(toMs), ...more }
    const page = pageSchema.parse(await api.call({ path: 'audit', query }))
    return { records: page.items, next: page.next_cursor }
  }
  return {
    search: (filter, { limit, cursor, follows }) =>
      ask(filter, { limit: String(limit), cursor, ...(follows === true && { follow: 'true' }) }),
    tail: (filter, count) => ask(filter, { limit: String(count), tail: 'true' }),
  }
}

const isoTime = (ms: number | undefined) =>
  ms === undefined ? undefined : new Date(ms).toISOString()

const filterSchema = z.object({
  tenant: z.string().optional(),
  client: z.string().optional(),
  sub: z.string().optional(),
  jti: z.string().optional(),
  decision: z.enum(['allow', 'deny'], 'is allow or deny').optional(),
  reason: z.string().optional(),
  event: z.string().optional(),
  from: z.string().optional(),
  to: z.string().optional(),
})

/** Adds the flags that say which records are meant. */
export function addFilterFlags(command: Command): Command {
  return command
    .option('--tenant <id>', 'of that tenant')
    .option('--client <id>', 'of that client')
    .option('--sub <sub>', 'of that user, or of a client for itself')
    .option('--jti <id>', 'of that token: its issue, its calls, its revocation')
    .option('--decision <allow|deny>', 'let in or not')
    .option('--reason <reason>', 'why')
    .option('--event <event>', 'such as proxy.call, token.refused, admin.clients.create')
    .option('--from <time>', 'from then on, such as 2026-01-31 or 2026-01-31T09:30:00Z (UTC)')
    .option('--to <time>', 'before then')
}

/** What the flags ask for; a usage error names the one that is not right. */
export function filterOf(command: Command): AuditFilter {
  const parsed = filterSchema.safeParse(command.opts())
  const issue = parsed.error?.issues[0]
  if (parsed.data === undefined) throw usage(`--${issue?.path.join('.')}: ${issue?.message}`)
  const { tenant, client, from, to, ...members } = parsed.data
  return {
    ...members,
    tenant_id: tenant,
    client_id: client,
    fromMs: parseTime('--from', from),
    toMs: parseTime('--to', to),
  }
}

/** A time without a zone is UTC, as every time in the trail. */
function parseTime(flag: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  const isBare = /^\d{4}-\d{2}-\d{2}T[\d:.]+$/.test(text)
  const ms = /^\d{4}-\d{2}-\d{2}/.test(text) ? Date.parse(isBare ? `${text}Z` : text) : Number.NaN
  if (Number.isNaN(ms)) throw usage(`${flag}: ${text} is not a time such as 2026-01-31T09:30:00Z`)
  return ms
}
