import { execFile } from 'node:child_process'
import { createReadStream, readdirSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs, promisify } from 'node:util'
import { z } from 'zod'
import { readAuditFolder } from '../src/audit/read-files.ts'
import { formatTable } from '../src/cli/table.ts'
import { createRandom } from '../test/support/random.ts'
import { residentBytes } from './proc.ts'
import { BEHAVIOURS, callOnce, type Sent } from './soak-clients.ts'
import { startWorld, type World } from './soak-world.ts'

/**
 * Minutes of requests while everything around the proxy fails by turns, and clients leave or stop at every stage. In the end
 * every request was answered or cut, is in the log and in the audit trail exactly once, and nothing is left open. Exits 1
 * when that is not so. Usage: `node bench/soak.ts --minutes 10 --clients 24 --seed 1`
 */
const { values: flags } = parseArgs({
  options: {
    minutes: { type: 'string', default: '10' },
    clients: { type: 'string', default: '24' },
    seed: { type: 'string', default: '1' },
  },
})
const random = createRandom(Number(flags.seed))

/** A connection to a model server is kept for 4 s, a client that was refused has 10 s to go. */
const QUIET_SECONDS = 20
const BACK_OFF_MS = 200
const FAULT_EVERY_MS = 4000
/** In the middle of the warm-up everything has been used once. */
const WARM_UP_SECONDS = 30

const MAIN = join(import.meta.dirname, '../src/cli/main.ts')

const dir = await mkdtemp(join(tmpdir(), 'gatehouse-soak-'))
const world = await startWorld(dir)
let token = await world.getToken()
const sent: Sent[] = []

await run(WARM_UP_SECONDS, {})
const before = await restingState(world)
const faulted = await run(Number(flags.minutes) * 60, world.faults)
const after = await restingState(world)
await world.stop()

const problems = await findProblems()
printEndings()
process.stdout.write(
  `\nfaults: ${[...faulted].map(([name, times]) => `${name} ${times} times`).join(', ')}\n`,
)
process.stdout.write(`\nbefore: ${JSON.stringify(before)}\nafter:  ${JSON.stringify(after)}\n`)
for (const problem of problems) process.stdout.write(`PROBLEM ${problem}\n`)
process.stdout.write(problems.length === 0 ? 'all is well\n' : `see ${dir}\n`)
if (problems.length === 0) await rm(dir, { recursive: true })
else process.exitCode = 1

/** Clients call and things fail for so long; all that was begun is over when it resolves. */
async function run(seconds: number, faults: World['faults']): Promise<Map<string, number>> {
  const untilMs = performance.now() + seconds * 1000
  const isOver = () => performance.now() > untilMs
  const times = new Map<string, number>()
  const names = Object.keys(faults)

  const callers = Array.from({ length: Number(flags.clients) }, async () => {
    while (!isOver()) {
      const id = `soak-${sent.length}-${Math.floor(random() * 1e9)}`
      const call = await callOnce(pickBehaviour(), { port: world.port, token, id }, random)
      sent.push(call)
      // Whoever is told to come back later does, a little later.
      if (call.ending.kind === 'answered' && call.ending.status === 503) await delay(BACK_OFF_MS)
    }
  })
  const failing = (async () => {
    while (!isOver() && names.length > 0) {
      const name = names[Math.floor(random() * names.length)] ?? ''
      times.set(name, (times.get(name) ?? 0) + 1)
      await faults[name]?.()
      await delay(FAULT_EVERY_MS)
    }
  })()
  const renewing = (async () => {
    while (!isOver()) {
      await delay(5000)
      token = await world.getToken().catch(() => token)
    }
  })()
  await Promise.all([...callers, failing, renewing])
  return times
}

function pickBehaviour(): string {
  const all = Object.entries(BEHAVIOURS)
  let at = random() * all.reduce((sum, [, { share }]) => sum + share, 0)
  for (const [name, { share }] of all) {
    at -= share
    if (at < 0) return name
  }
  return 'asks'
}

/** What the proxy holds when nobody asks anything of it. */
async function restingState({ proxyPid, opsUrl }: World) {
  await delay(QUIET_SECONDS * 1000)
  const metrics = await (await fetch(`${opsUrl}/metrics`)).text()
  const sumOf = (name: string) =>
    [...metrics.matchAll(new RegExp(`^${name}(?:\\{[^}]*\\})? (\\S+)$`, 'gm'))].reduce(
      (sum, [, value]) => sum + Number(value),
      0,
    )
  return {
    descriptors: readdirSync(`/proc/${proxyPid}/fd`).length,
    residentMB: Math.round(residentBytes(proxyPid) / 1e6),
    heapMB: Math.round(sumOf('nodejs_heap_size_used_bytes') / 1e6),
    inFlight: sumOf('gatehouse_proxy_in_flight'),
    waiting: sumOf('gatehouse_proxy_waiting'),
  }
}

async function findProblems(): Promise<string[]> {
  const [logged, audited] = [await countLogged(), await countAudited()]
  const found: string[] = []
  for (const { id, behaviour, isWhole, ending } of sent) {
    const [lines, records] = [logged.get(id) ?? 0, audited.get(id) ?? 0]
    if (ending.kind === 'hung') found.push(`${id} (${behaviour}) hangs`)
    if (lines !== records) found.push(`${id} (${behaviour}): ${lines} lines, ${records} records`)
    // Of a client that leaves, the proxy may never have read what it sent.
    const isKnown = ending.kind === 'left' ? lines <= 1 : lines === (isWhole ? 1 : 0)
    if (!isKnown) found.push(`${id} (${behaviour}, ${ending.kind}): ${lines} lines`)
  }
  const { descriptors, residentMB } = before
  if (after.descriptors > descriptors + 2) found.push('descriptors are left open')
  if (after.residentMB > residentMB * 1.25) found.push('memory has grown')
  if (after.inFlight !== 0 || after.waiting !== 0) found.push('requests are still under way')
  const verify = ['audit', 'verify', '--dir', world.auditDir, '--log', world.logFile]
  await promisify(execFile)(process.execPath, [MAIN, ...verify]).catch((error: unknown) =>
    found.push(`the trail does not verify: ${String(error)}`),
  )
  return found
}

async function countLogged(): Promise<Map<string, number>> {
  const lineSchema = z.looseObject({ event: z.literal('proxy.call'), request_id: z.string() })
  const counts = new Map<string, number>()
  for await (const text of createInterface(createReadStream(world.logFile))) {
    const line = text.startsWith('{') ? lineSchema.safeParse(JSON.parse(text)) : undefined
    if (line?.success === true) add(counts, line.data.request_id)
  }
  return counts
}

async function countAudited(): Promise<Map<string, number>> {
  const recordSchema = z.looseObject({ event: z.literal('proxy.call'), request_id: z.string() })
  const counts = new Map<string, number>()
  for await (const { text } of readAuditFolder(world.auditDir)) {
    const record = recordSchema.safeParse(JSON.parse(text))
    if (record.success) add(counts, record.data.request_id)
  }
  return counts
}

function add(counts: Map<string, number>, id: string): void {
  counts.set(id, (counts.get(id) ?? 0) + 1)
}

function printEndings(): void {
  const counts = new Map<string, number>()
  for (const { behaviour, ending } of sent) {
    add(counts, `${behaviour}\t${ending.kind === 'answered' ? ending.status : ending.kind}`)
  }
  const rows = [...counts]
    .sort(([a], [b]) => a.localeCompare(b))
    .map(([key, count]) => [...key.split('\t'), String(count)])
  process.stdout.write(`${formatTable(['clients', 'ending', 'times'], rows)}\n`)
}
