import type { Period } from '../audit/usage-report.ts'
import type { UsageGroup, UsageRow } from '../audit/usage-sums.ts'
import { formatTable } from './table.ts'

const CHART_COLUMNS = 20

/** A table with the greatest first, and a bar for each row: by completion tokens, or by requests where none are known. */
export function formatUsage(
  rows: readonly UsageRow[],
  by: UsageGroup,
  { from, to }: Period,
): string {
  if (rows.length === 0) return `no calls from ${from} to ${to}\n`
  const hasTokens = rows.some((row) => row.completion_tokens > 0)
  const sizeOf = (row: UsageRow) => (hasTokens ? row.completion_tokens : row.requests)
  const greatestFirst = rows.toSorted((one, other) => sizeOf(other) - sizeOf(one))
  const most = rows.reduce((size, row) => Math.max(size, sizeOf(row)), 0)
  const headings = [
    ...namesOf(by).map((name) => name.toUpperCase()),
    'CALLS',
    'REFUSED',
    'PROMPT',
    'COMPLETION',
    'IMAGES',
    'IN',
    'OUT',
    'UPSTREAM',
    hasTokens ? 'COMPLETION TOKENS' : 'CALLS',
  ]
  const table = formatTable(
    headings,
    greatestFirst.map((row) => [
      ...idsOf(row, by),
      String(row.requests),
      String(row.refused),
      String(row.prompt_tokens),
      `${row.estimated > 0 ? '~' : ''}${row.completion_tokens}`,
      String(row.images),
      formatBytes(row.bytes_in),
      formatBytes(row.bytes_out),
      `${(row.upstream_ms / 1000).toFixed(1)} s`,
      formatBar(most === 0 ? 0 : sizeOf(row) / most),
    ]),
  )
  const note = rows.some((row) => row.estimated > 0)
    ? '~ some of it was counted by pieces of text, because the model server did not say\n'
    : ''
  return `${from} to ${to} (UTC)\n${table}\n${note}`
}

const namesOf = (by: UsageGroup): readonly string[] =>
  by === 'tenant' ? ['tenant'] : ['tenant', by]

const idsOf = ({ tenant_id, client_id, sub }: UsageRow, by: UsageGroup): readonly string[] =>
  by === 'tenant' ? [tenant_id] : [tenant_id, client_id ?? sub ?? '-']

const EIGHTHS = ['', '▏', '▎', '▍', '▌', '▋', '▊', '▉']

/** A bar in eighths of a character; what is not nothing can be seen. */
function formatBar(share: number): string {
  const eighths = Math.max(share > 0 ? 1 : 0, Math.round(share * CHART_COLUMNS * 8))
  return '█'.repeat(Math.floor(eighths / 8)) + (EIGHTHS[eighths % 8] ?? '')
}

function formatBytes(bytes: number): string {
  if (bytes < 1e3) return `${bytes} B`
  if (bytes < 1e6) return `${(bytes / 1e3).toFixed(1)} kB`
  return bytes < 1e9 ? `${(bytes / 1e6).toFixed(1)} MB` : `${(bytes / 1e9).toFixed(1)} GB`
}

const TOTALS = [
  'requests',
  'refused',
  'prompt_tokens',
  'completion_tokens',
  'estimated',
  'images',
  'bytes_in',
  'bytes_out',
  'queued_ms',
  'upstream_ms',
] as const satisfies readonly (keyof UsageRow)[]

/** RFC 4180, with the names of the admin API's members at the top. */
export function toCsv(rows: readonly UsageRow[], by: UsageGroup): string {
  const names = {
    tenant: ['tenant_id'],
    client: ['tenant_id', 'client_id'],
    subject: ['tenant_id', 'sub'],
  }[by]
  const lines = rows.map((row) => [
    ...idsOf(row, by).map(quoteCell),
    ...TOTALS.map((name) => row[name]),
  ])
  return [[...names, ...TOTALS], ...lines].map((cells) => `${cells.join(',')}\r\n`).join('')
}

/** An id of another issuer may be anything, also what a spreadsheet would take for a formula. */
function quoteCell(text: string): string {
  const safe = /^[=+\-@\t\r]/.test(text) ? `'${text}` : text
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe
}
