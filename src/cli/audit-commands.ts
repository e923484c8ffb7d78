import { setTimeout as pause } from 'node:timers/promises'
import type { Command } from 'commander'
import { z } from 'zod'
import type { AuditFilter } from '../audit/matcher.ts'
import type { AuditRecord } from '../audit/record.ts'
import type { AuditArchive } from '../audit/search.ts'
import { addAdminCommand } from './admin-command.ts'
import { addFilterFlags, auditSourceOf, filterOf } from './audit-source.ts'
import { addVerifyCommand } from './audit-verify-command.ts'
import { usage } from './flag-values.ts'
import { writeJson, writeList } from './output.ts'
import { formatTable } from './table.ts'

const DIR_FLAG = ['--dir <folder>', 'read these files, without a server: <dataDir>/audit'] as const
const PAGE_SIZE = 500
const FOLLOW_EVERY_MS = 500
const optionsSchema = z.object({
  json: z.boolean().default(false),
  follow: z.boolean().default(false),
  lines: z.string().default('10'),
})

export function auditCommands(program: Command): void {
  const audit = program.command('audit').description('who did what: read and check the trail')

  addFilterFlags(
    addAdminCommand(audit, {
      name: 'search',
      description: 'find records: day by day, and within a day writer by writer',
      examples: [
        'audit search --client robot --decision deny',
        'audit search --jti 2cVdM0… --json',
      ],
    }).option(...DIR_FLAG),
  ).action(async (_options, command: Command) => {
    const { json } = optionsSchema.parse(command.opts())
    const filter = filterOf(command)
    const pages = searchPages(await auditSourceOf(command), filter)
    await writeList({ pages, json, headings: HEADINGS, toRow: (item) => ROW.parse(item) })
  })

  addFilterFlags(
    addAdminCommand(audit, {
      name: 'tail',
      description: 'show the last records; with -f and --json one a line, as they come',
      examples: ['audit tail', 'audit tail -f --tenant acme'],
    })
      .option(...DIR_FLAG)
      .option('-f, --follow', 'go on with what comes')
      .option('-n, --lines <count>', 'how many', '10'),
  ).action(async (_options, command: Command) => {
    const { json, follow, lines } = optionsSchema.parse(command.opts())
    if (!/^\d{1,3}$/.test(lines)) throw usage('--lines: a number from 0 to 999')
    const filter = filterOf(command)
    const source = await auditSourceOf(command)
    const { records, next } = await source.tail(filter, Math.max(1, Number(lines)))
    const shown = lines === '0' ? [] : records
    if (json && !follow) return writeJson({ items: shown })
    const show = json ? writeJsonLines : writeRows
    show(shown)
    if (follow) await followTrail({ source, filter, cursor: next, show })
  })

  addVerifyCommand(audit)
}

async function* searchPages(source: AuditArchive, filter: AuditFilter) {
  let cursor: string | undefined
  do {
    const { records, next } = await source.search(filter, { limit: PAGE_SIZE, cursor })
    yield records
    cursor = next
  } while (cursor !== undefined)
}

type Follow = {
  source: AuditArchive
  filter: AuditFilter
  cursor: string | undefined
  show: (records: readonly AuditRecord[]) => void
}

/** Until somebody stops it. */
async function followTrail({ source, filter, show, ...from }: Follow): Promise<never> {
  let { cursor } = from
  for (;;) {
    const page = await source.search(filter, { limit: PAGE_SIZE, cursor, follows: true })
    show(page.records)
    cursor = page.next
    if (page.records.length < PAGE_SIZE) await pause(FOLLOW_EVERY_MS)
  }
}

const HEADINGS = [
  'TIME',
  'EVENT',
  'DECISION',
  'REASON',
  'TENANT',
  'CLIENT',
  'SUB',
  'WHAT',
  'STATUS',
]

/** A record for people. */
const ROW = z
  .object({
    time: z.string(),
    event: z.string(),
    decision: z.string(),
    reason: z.string().default('-'),
    tenant_id: z.string().default('-'),
    client_id: z.string().default('-'),
    sub: z.string().default('-'),
    target: z.string().optional(),
    route: z.string().optional(),
    jti: z.string().optional(),
    status: z.number().optional(),
  })
  .transform((record): readonly string[] => [
    record.time,
    record.event,
    record.decision,
    record.reason,
    record.tenant_id,
    record.client_id,
    record.sub,
    record.target ?? record.jti ?? record.route ?? '-',
    String(record.status ?? '-'),
  ])

function writeRows(records: readonly AuditRecord[]): void {
  if (records.length === 0) return
  process.stdout.write(
    `${formatTable(
      [],
      records.map((record) => ROW.parse(record)),
    )}\n`,
  )
}

function writeJsonLines(records: readonly AuditRecord[]): void {
  for (const record of records) process.stdout.write(`${JSON.stringify(record)}\n`)
}
