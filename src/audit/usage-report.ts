import { dayOf } from './audit-files.ts'
import { groupSums, type UsageGroup, type UsageRow, type UsageSum } from './usage-sums.ts'

/** Days (UTC), both included. */
export type Period = { from: string; to: string }

/** Reads from the trail what was taken in these days, in parts. */
export type UsageSource = (period: Period) => AsyncIterable<readonly UsageSum[]>

export type UsageQuery = Period & {
  by: UsageGroup
  tenant_id?: string | undefined
  client_id?: string | undefined
  sub?: string | undefined
}

/** What is not said of a period: up to today, from the first of that month. */
export function periodOf(
  { from, to }: { [day in keyof Period]?: string | undefined },
  nowMs: number,
): Period {
  const last = to ?? dayOf(nowMs)
  return { from: from ?? `${last.slice(0, 7)}-01`, to: last }
}

export async function reportUsage(source: UsageSource, query: UsageQuery): Promise<UsageRow[]> {
  const { by, from, to, ...wanted } = query
  const found: UsageSum[] = []
  for await (const sums of source({ from, to })) {
    for (const sum of sums) {
      const isWanted =
        sum.day >= from &&
        sum.day <= to &&
        sum.tenant_id === (wanted.tenant_id ?? sum.tenant_id) &&
        sum.client_id === (wanted.client_id ?? sum.client_id) &&
        sum.sub === (wanted.sub ?? sum.sub)
      if (isWanted) found.push(sum)
    }
  }
  return groupSums(found, by)
}
