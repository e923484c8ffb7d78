import { spawnSync } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { createBalancer, openPool, type Member } from './balancer.ts'
import { signInAsAdmin, type Admin, type Client, type Front } from './chaos-clients.ts'
import { faultsOf, type Fault } from './chaos-faults.ts'
import { acceptedOf, startLoad, type Load } from './chaos-load.ts'
import type { Machine } from './chaos-network.ts'
import {
  countRecords,
  findBrokenTrails,
  HEADINGS,
  problemsOf,
  reasonsOf,
  rowOf,
  type Observed,
} from './chaos-report.ts'
import { makeAuthority, PORTS, startWorld, type World } from './chaos-world.ts'

/**
 * What fails, and for how long, when one machine does: three issuers, three proxies, two model servers, and Redis with two
 * replicas and three Sentinels, each a process in a network namespace of its own, under a steady load. Needs root, iproute2,
 * util-linux, openssl and redis-server. Usage: `node bench/chaos.ts --seconds 30 --only "master is killed"`
 */
const { values: flags } = parseArgs({
  options: {
    seconds: { type: 'string', default: '30' },
    /** A regular expression for the names of the faults. */
    only: { type: 'string', default: '' },
    'min-replicas': { type: 'string', default: '1' },
    /** Whether the folder with all logs stays when all is well. */
    keep: { type: 'boolean', default: false },
  },
})
const QUIET_MS = 10_000
const AFTER_MS = 15_000
const CLIENTS = 6
const REFRESHING = 4
/** Never reached, but counted: each call asks Redis. */
const LIMITS = { rpm: 1_000_000, concurrency: 1000 }
const dir = process.env['CHAOS_DIR']
if (dir === undefined) await runApart()
else await runAll(dir)

/** The same once more, in namespaces of its own, with which everything ends that is started in them. */
async function runApart(): Promise<void> {
  const dir = await mkdtemp(join(tmpdir(), 'gatehouse-chaos-'))
  const authority = await makeAuthority(dir)
  const dieWithUs = ['setpriv', '--pdeathsig', 'KILL']
  const again = ['--net', '--mount', ...dieWithUs, process.execPath, ...process.argv.slice(1)]
  const { status } = spawnSync('unshare', again, {
    stdio: 'inherit',
    env: { ...process.env, CHAOS_DIR: dir, NODE_EXTRA_CA_CERTS: authority },
  })
  process.exitCode = status ?? 1
  if (status === 0 && !flags.keep) await rm(dir, { recursive: true })
  else print(`see ${dir}`)
}

async function runAll(dir: string): Promise<void> {
  const world = await startWorld(dir, Number(flags['min-replicas']))
  const front = {
    issuers: balancerOf(world.issuers, {
      scheme: 'https',
      port: PORTS.issuer,
      ops: PORTS.issuerOps,
    }),
    admins: balancerOf(world.issuers, { scheme: 'https', port: PORTS.admin, ops: PORTS.issuerOps }),
    proxies: balancerOf(world.proxies, { scheme: 'https', port: PORTS.proxy, ops: PORTS.proxyOps }),
  }
  const clients = await makeClients(front)
  const observed: Observed[] = []
  const problems: string[] = []
  for (const [number, fault] of faultsOf(world).entries()) {
    if (!new RegExp(flags.only).test(fault.name)) continue
    try {
      const seen = await observe(world, fault, { run: `chaos-${number}`, front, ...clients })
      observed.push(seen)
      print(`| ${rowOf(seen, await countRecords(dir, world.proxies)).join(' | ')} |`)
      for (const reason of reasonsOf(seen)) print(`    ${reason}`)
    } catch (error) {
      problems.push(`${fault.name}: ${String(error)}`)
    }
  }
  await world.stop()
  const recorded = await countRecords(dir, world.proxies)
  print(`\n| ${HEADINGS.join(' | ')} |\n|${'---|'.repeat(HEADINGS.length)}`)
  for (const seen of observed) print(`| ${rowOf(seen, recorded).join(' | ')} |`)
  problems.push(
    ...observed.flatMap((seen) => problemsOf(seen, recorded)),
    ...(await findBrokenTrails(dir, [...world.issuers, ...world.proxies])),
    ...(observed.length === 0 ? [`no fault is called ${flags.only}`] : []),
  )
  for (const problem of problems) print(`PROBLEM ${problem}`)
  if (problems.length === 0) print('\nnothing was lost, and the trails verify')
  process.exit(problems.length === 0 ? 0 : 1)
}

type Scene = { run: string; front: Front; clients: Client[]; refreshing: Client[] }

async function observe(world: World, fault: Fault, scene: Scene): Promise<Observed> {
  const { run, front, clients, refreshing } = scene
  await world.settled()
  const admin = await signInAsAdmin(front, adminKeyFile())
  const proxies = world.proxies.map(({ name, address }) => ({
    name,
    pool: openPool(`https://${address}:${PORTS.proxy}`),
  }))
  const load = startLoad({ run, front, admin, clients, refreshing, proxies })
  await delay(QUIET_MS)
  const fromMs = performance.now()
  await fault.inject(Number(flags.seconds) * 1000)
  const untilMs = performance.now()
  await delay(AFTER_MS)
  await load.stop()
  await world.settled()
  const lost = await findLost(load, admin, proxies)
  await Promise.all(proxies.map(({ pool }) => pool.destroy()))
  return {
    fault: fault.name,
    fromMs,
    untilMs,
    load,
    lost,
  }
}

async function findLost(
  { made, signing, revoked }: Load,
  admin: Admin,
  proxies: Parameters<typeof acceptedOf>[1],
): Promise<string[]> {
  const [ids, kids] = [await admin.clientIds(), await admin.kids()]
  return [
    ...made.filter((id) => !ids.has(id)).map((id) => `the client ${id}`),
    ...signing.filter((kid) => !kids.has(kid)).map((kid) => `the key ${kid}`),
    ...(await acceptedOf(revoked, proxies)),
  ]
}

async function makeClients(front: Front) {
  const admin = await signInAsAdmin(front, adminKeyFile())
  const clients: Client[] = []
  for (let i = 0; i < CLIENTS; i += 1) clients.push(await admin.makeClient({ limits: LIMITS }))
  const refreshing: Client[] = []
  for (let i = 0; i < REFRESHING; i += 1) {
    refreshing.push(await admin.makeClient({ client_credentials_refresh: true }))
  }
  return { clients, refreshing }
}

function adminKeyFile(): string {
  return join(dir ?? '', 'issuer-1-keys', 'admin.jwk')
}

function balancerOf(
  machines: readonly Machine[],
  { scheme, port, ops }: { scheme: string; port: number; ops: number },
) {
  const members = machines.map<Member>(({ name, address }) => ({
    name,
    url: `${scheme}://${address}:${port}`,
    readyUrl: `http://${address}:${ops}/readyz`,
  }))
  return createBalancer(members)
}

function print(line: string): void {
  process.stdout.write(`${line}\n`)
}
