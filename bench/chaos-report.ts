import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { z } from 'zod'
import { readAuditFolder } from '../src/audit/read-files.ts'
import type { Event, Kind, Load } from './chaos-load.ts'
import type { Machine } from './chaos-network.ts'
import { MAX_STALENESS_SECONDS } from './chaos-world.ts'

/** What was seen while one fault lasted, and after it. */
export type Observed = {
  fault: string
  fromMs: number
  untilMs: number
  load: Pick<Load, 'events' | 'spreads' | 'endedRefreshes'>
  /** What was acknowledged, and does not hold. */
  lost: readonly string[]
}

const MAIN = join(import.meta.dirname, '../src/cli/main.ts')
export const HEADINGS = [
  'for 30 s',
  'calls that failed',
  'from, to (s)',
  'longest gap (s)',
  'tokens that failed',
  'from, to (s)',
  'refreshes that failed',
  'from, to (s)',
  'changes that failed',
  'from, to (s)',
  'a revocation took (s)',
  'revoked, accepted for (s)',
  'lost',
  'not on record',
]

/** A line of the table; `recorded` counts the trail's records of each call. */
export function rowOf(observed: Observed, recorded: ReadonlyMap<string, number>): string[] {
  const { fault, load, lost } = observed
  const since = load.events.filter(({ endedAtMs }) => endedAtMs >= observed.fromMs)
  const of = (...kinds: Kind[]) => since.filter((event) => kinds.includes(event.kind))
  const calls = of('call')
  const changes = of('create', 'rotate')
  const longestOf = (times: readonly number[]) => (Math.max(0, ...times) / 1000).toFixed(1)
  return [
    fault,
    share(calls),
    span(calls, observed),
    longestGap(load.events.filter(({ kind }) => kind === 'call')).toFixed(1),
    share(of('token')),
    span(of('token'), observed),
    share(of('refresh')),
    span(of('refresh'), observed),
    share(changes),
    span(changes, observed),
    longestOf(load.spreads.map(({ acknowledgedAfterMs }) => acknowledgedAfterMs)),
    longestOf(load.spreads.map(({ acceptedForMs }) => acceptedForMs)),
    String(lost.length + load.endedRefreshes.length),
    String(calls.filter((call) => !isRecorded(call, recorded)).length),
  ]
}

function share(events: readonly Event[]): string {
  const failed = events.filter(({ isGood }) => !isGood).length
  return failed === 0 ? '0' : `${failed} of ${events.length}`
}

/** When the first was sent that failed, and when the last had failed, after the fault began. */
function span(events: readonly Event[], { fromMs }: Observed): string {
  const failed = events.filter(({ isGood }) => !isGood)
  if (failed.length === 0) return ''
  const seconds = (ms: number) => ((ms - fromMs) / 1000).toFixed(1)
  const first = Math.min(...failed.map(({ sentAtMs }) => sentAtMs))
  const last = Math.max(...failed.map(({ endedAtMs }) => endedAtMs))
  return `${seconds(first)}, ${seconds(last)}`
}

/** Between two good answers to one client, or between the last one and the end. */
function longestGap(calls: readonly Event[]): number {
  let longestMs = 0
  for (const own of Object.values(Object.groupBy(calls, ({ client }) => client))) {
    const events = own ?? []
    const good = events.filter(({ isGood }) => isGood).map(({ endedAtMs }) => endedAtMs)
    good.sort((a, b) => a - b)
    good.push(Math.max(...events.map(({ sentAtMs }) => sentAtMs)))
    for (const [i, endedAtMs] of good.entries()) {
      longestMs = Math.max(longestMs, endedAtMs - (good[i - 1] ?? endedAtMs))
    }
  }
  return longestMs / 1000
}

/** What must not be, whatever fails. */
export function problemsOf(observed: Observed, recorded: ReadonlyMap<string, number>): string[] {
  const { fault, fromMs, load, lost } = observed
  const unrecorded = load.events.filter(
    (event) => event.kind === 'call' && event.endedAtMs >= fromMs && !isRecorded(event, recorded),
  )
  const boundMs = MAX_STALENESS_SECONDS * 1000
  return [
    ...lost,
    ...load.endedRefreshes.map((which) => `the refresh token of ${which}`),
    ...unrecorded.map(({ id }) => `${id} is not once on record`),
    ...load.spreads.flatMap(({ proxy, acceptedForMs, isRefused }) => [
      ...(acceptedForMs > boundMs ? [`${proxy} let in a revoked token for too long`] : []),
      ...(isRefused ? [] : [`${proxy} never heard of a revocation`]),
    ]),
  ].map((problem) => `${fault}: ${problem}`)
}

/** Who was answered is on record once; who was not may be. */
function isRecorded({ id, member }: Event, recorded: ReadonlyMap<string, number>): boolean {
  const times = recorded.get(id) ?? 0
  return member === '' ? times <= 1 : times === 1
}

/** Why requests failed, by kind and by what came instead. */
export function reasonsOf({ load }: Observed): string[] {
  const failed = load.events.filter(({ isGood }) => !isGood)
  const groups = Object.groupBy(failed, ({ kind, what, member }) => `${kind}: ${what} ${member}`)
  return Object.entries(groups).map(([name, all]) => `${name} (${all?.length})`)
}

const recordSchema = z.looseObject({ event: z.literal('proxy.call'), request_id: z.string() })

/** How often each request is in the trails of these proxies. */
export async function countRecords(
  dir: string,
  proxies: readonly Machine[],
): Promise<Map<string, number>> {
  const counts = new Map<string, number>()
  for (const { name } of proxies) {
    for await (const { text } of readAuditFolder(join(dir, name, 'audit'))) {
      const record = recordSchema.safeParse(JSON.parse(text))
      if (!record.success) continue
      counts.set(record.data.request_id, (counts.get(record.data.request_id) ?? 0) + 1)
    }
  }
  return counts
}

/** What `audit verify` says against the trails of these. */
export async function findBrokenTrails(
  dir: string,
  writers: readonly Machine[],
): Promise<string[]> {
  const broken: string[] = []
  for (const { name } of writers) {
    const args = ['--dir', join(dir, name, 'audit'), '--log', join(dir, `${name}.log`)]
    await promisify(execFile)(process.execPath, [MAIN, 'audit', 'verify', ...args]).catch(
      (error: unknown) => broken.push(`${name}: ${String(error)}`),
    )
  }
  return broken
}
