import { z } from 'zod'

const count = z.number().min(0)

/** What calls took together. */
const totalsSchema = z.object({
  requests: count,
  refused: count.describe('of the requests: not let in, or not answered'),
  prompt_tokens: count,
  completion_tokens: count,
  estimated: count.describe('requests whose tokens the model server did not say'),
  images: count,
  bytes_in: count,
  bytes_out: count,
  queued_ms: count,
  upstream_ms: count.describe('of requests that were sent to a model server'),
})
type UsageTotals = z.output<typeof totalsSchema>

/** What one subject took through one client on one day (UTC). */
export const usageSumSchema = z.object({
  day: z.string(),
  tenant_id: z.string(),
  client_id: z.string(),
  sub: z.string(),
  ...totalsSchema.shape,
})
export type UsageSum = z.output<typeof usageSumSchema>

/** A row of a report: the members that name whose it is depend on what is asked for. */
export const usageRowSchema = z.object({
  tenant_id: z.string(),
  client_id: z.string().optional(),
  sub: z.string().optional(),
  ...totalsSchema.shape,
})
export type UsageRow = z.output<typeof usageRowSchema>

export const usageGroupSchema = z.enum(['tenant', 'client', 'subject'])
export type UsageGroup = z.output<typeof usageGroupSchema>

const callSchema = z.object({
  time: z.string(),
  event: z.literal('proxy.call'),
  decision: z.string(),
  tenant_id: z.string(),
  client_id: z.string(),
  sub: z.string(),
  upstream: z.string().optional(),
  bytes_in: z.number().default(0),
  bytes_out: z.number().default(0),
  queued_ms: z.number().default(0),
  duration_ms: z.number().default(0),
  usage: z
    .object({
      prompt_tokens: z.number().default(0),
      completion_tokens: z.number().default(0),
      images: z.number().default(0),
      estimated: z.boolean().default(false),
    })
    .prefault({}),
})

/** Sums by day, tenant, client and subject, by a key of these. */
export type UsageSums = Map<string, UsageSum>

/** Adds a line of the trail, when it is the record of a call that came with a token. */
export function addLine(sums: UsageSums, line: string): void {
  if (!line.includes('"event":"proxy.call"')) return
  const call = callSchema.safeParse(parseJson(line)).data
  if (call === undefined) return
  const { tenant_id, client_id, sub, usage, ...facts } = call
  addSum(sums, {
    day: facts.time.slice(0, 10),
    tenant_id,
    client_id,
    sub,
    requests: 1,
    refused: facts.decision === 'deny' ? 1 : 0,
    prompt_tokens: usage.prompt_tokens,
    completion_tokens: usage.completion_tokens,
    estimated: usage.estimated ? 1 : 0,
    images: usage.images,
    bytes_in: facts.bytes_in,
    bytes_out: facts.bytes_out,
    queued_ms: facts.queued_ms,
    upstream_ms:
      facts.upstream === undefined ? 0 : Math.max(0, facts.duration_ms - facts.queued_ms),
  })
}

export function addSum(sums: UsageSums, sum: UsageSum): void {
  const key = JSON.stringify([sum.day, sum.tenant_id, sum.client_id, sum.sub])
  const before = sums.get(key)
  if (before === undefined) sums.set(key, { ...sum })
  else addTotals(before, sum)
}

function addTotals(to: UsageTotals, more: UsageTotals): void {
  to.requests += more.requests
  to.refused += more.refused
  to.prompt_tokens += more.prompt_tokens
  to.completion_tokens += more.completion_tokens
  to.estimated += more.estimated
  to.images += more.images
  to.bytes_in += more.bytes_in
  to.bytes_out += more.bytes_out
  to.queued_ms += more.queued_ms
  to.upstream_ms += more.upstream_ms
}

/** One row for each of the group, in the order of their names. */
export function groupSums(sums: Iterable<UsageSum>, by: UsageGroup): UsageRow[] {
  const rows = new Map<string, UsageRow>()
  for (const { day: _day, tenant_id, client_id, sub, ...totals } of sums) {
    const names = {
      tenant_id,
      ...(by === 'client' && { client_id }),
      ...(by === 'subject' && { sub }),
    }
    const key = keyOfRow(names)
    const row = rows.get(key)
    if (row === undefined) rows.set(key, { ...names, ...totals })
    else addTotals(row, totals)
  }
  const inOrder = [...rows].sort(([one], [other]) => (one < other ? -1 : 1))
  return inOrder.map(([, row]) => row)
}

export const keyOfRow = ({
  tenant_id,
  client_id,
  sub,
}: Pick<UsageRow, 'tenant_id' | 'client_id' | 'sub'>): string =>
  JSON.stringify([tenant_id, client_id ?? sub ?? ''])

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
