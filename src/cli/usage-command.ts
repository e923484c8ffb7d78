import { Option, type Command } from 'commander'
import { z } from 'zod'
import { createFileUsage } from '../audit/usage-of-files.ts'
import { periodOf, reportUsage, type Period } from '../audit/usage-report.ts'
import { usageGroupSchema, usageRowSchema, type UsageRow } from '../audit/usage-sums.ts'
import { systemClock } from '../kernel/clock.ts'
import { addAdminCommand, adminApiOf } from './admin-command.ts'
import { requireFolder } from './audit-source.ts'
import { usage } from './flag-values.ts'
import { writeJson } from './output.ts'
import { formatUsage, toCsv } from './usage-table.ts'

const day = z.iso.date('must be a day such as 2026-01-31').optional()
const optionsSchema = z.object({
  by: usageGroupSchema.default('tenant'),
  from: day,
  to: day,
  tenant: z.string().optional(),
  client: z.string().optional(),
  sub: z.string().optional(),
  dir: z.string().optional(),
  csv: z.boolean().default(false),
  json: z.boolean().default(false),
})
type Options = z.output<typeof optionsSchema>

export function usageCommand(program: Command): void {
  addAdminCommand(program, {
    name: 'usage',
    description: 'who took how much: calls, tokens, images, bytes and time, from the audit trail',
    examples: ['usage --by client', 'usage --by subject --from 2026-01-01 --to 2026-01-31 --csv'],
  })
    .addOption(
      new Option('--by <group>', 'a line for each')
        .choices(usageGroupSchema.options)
        .default('tenant'),
    )
    .option('--from <day>', 'the first day (UTC); default: the first of that month')
    .option('--to <day>', 'the last day (UTC), included; default: today')
    .option('--tenant <id>', 'of that tenant')
    .option('--client <id>', 'of that client')
    .option('--sub <sub>', 'of that user, or of a client for itself')
    .option('--csv', 'for a spreadsheet')
    .option('--dir <folder>', 'read these files, without a server: <dataDir>/audit')
    .action(async (_options, command: Command) => {
      const options = parseOptions(command)
      const period = periodOf(options, systemClock())
      if (period.from > period.to) throw usage('--from: is after --to')
      const items = await readRows(command, options, period)
      if (options.json) return writeJson({ ...period, items })
      process.stdout.write(
        options.csv ? toCsv(items, options.by) : formatUsage(items, options.by, period),
      )
    })
}

function parseOptions(command: Command): Options {
  const parsed = optionsSchema.safeParse(command.opts())
  if (parsed.data !== undefined) return parsed.data
  const [issue] = parsed.error.issues
  throw usage(`--${issue?.path.join('.')}: ${issue?.message}`)
}

async function readRows(command: Command, options: Options, period: Period): Promise<UsageRow[]> {
  const { by, tenant, client, sub, dir } = options
  const query = { by, tenant_id: tenant, client_id: client, sub, ...period }
  if (dir !== undefined) {
    await requireFolder(dir)
    // Files that were given to be read are left as they are.
    return reportUsage(createFileUsage(dir, { keepsSums: false }), query)
  }
  const rows: UsageRow[] = []
  const api = await adminApiOf(command)
  for await (const page of api.pages({ path: 'usage', query })) {
    rows.push(...z.array(usageRowSchema).parse(page))
  }
  return rows
}
