import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePorts } from '../src/cli/free-ports.ts'
import { settleAccounts } from '../test/support/account.ts'
import { startCommand } from '../test/support/command.ts'
import { startCountingModel } from '../test/support/counting-model.ts'
import { countedCalls } from '../test/support/metrics.ts'
import { startTestIssuer } from '../test/support/test-issuer.ts'
import { runUnrulyClients } from '../test/support/unruly-clients.ts'
import { waitUntil } from '../test/support/wait-until.ts'

/**
 * Whether every request is on record exactly once, with what the model server says that it sent: a proxy in a process of
 * its own, clients that leave, are refused or send nonsense, and a model server that refuses, breaks off and is killed.
 */
const REQUESTS = Number(process.argv[2] ?? 100_000)
const KILL_EVERY = 5000
const CONCURRENCY = 64

await using open = new AsyncDisposableStack()
const dir = await mkdtemp(join(tmpdir(), 'gatehouse-bench-'))
open.defer(() => rm(dir, { recursive: true }))
const model = await startCountingModel()
open.defer(model.close)
const [port = 0, ops = 0] = await freePorts(2)
const url = `http://localhost:${port}`
const issuer = await startTestIssuer(url)
open.defer(issuer.close)
const proxy = startCommand([
  'proxy',
  ...Object.entries({
    dataDir: dir,
    'issuer.url': issuer.url,
    'revocations.feed': 'off',
    'proxy.url': url,
    'proxy.listen': `127.0.0.1:${port}`,
    'proxy.opsListen': `127.0.0.1:${ops}`,
    'proxy.upstreams': model.url,
    'log.level': 'warn',
  }).flatMap(([name, value]) => ['--set', `${name}=${value}`]),
])
open.defer(() => void proxy.child.kill())
await waitUntil('the proxy', async () => (await fetch(`http://127.0.0.1:${ops}/readyz`)).ok)

const limited = { subject: { concurrency: 4, daily_requests: REQUESTS / 20 } }
const tokens = await Promise.all(
  [{ tenant_id: 'acme' }, { tenant_id: 'other' }, { tenant_id: 'third', limits: limited }].map(
    async (claims) => `Bearer ${await issuer.sign(claims)}`,
  ),
)
const kills: Promise<void>[] = []
const startedAtMs = performance.now()
const fates = await runUnrulyClients({
  port,
  tokens,
  requests: REQUESTS,
  concurrency: CONCURRENCY,
  onEnd(ended) {
    if (ended % KILL_EVERY === KILL_EVERY / 2) kills.push(model.kill(50))
  },
})
const seconds = (performance.now() - startedAtMs) / 1000
await Promise.all(kills)
const counted = await countedCalls(`127.0.0.1:${ops}`)
proxy.child.kill('SIGTERM')
await proxy.finished

const account = await settleAccounts({ dir: join(dir, 'audit'), fates, said: model.said, counted })
const ends = Object.groupBy(fates.values(), ({ end }) => end)
print(
  `${fates.size} requests in ${seconds.toFixed(0)} s, ${kills.length} kills of the model server`,
)
for (const [end, all] of Object.entries(ends)) print(`  ${end}: ${all.length}`)
const statuses = Object.groupBy(fates.values(), ({ status }) => status ?? 0)
print(
  `  by status: ${JSON.stringify(Object.entries(statuses).map(([code, all]) => [code, all?.length]))}`,
)
print(`${account.records} records; ${account.unread} left before the proxy had read them`)
print(`${account.whole} whole answers: ${account.tokens.said} completion tokens said,`)
print(`  ${account.tokens.recorded} recorded; ${account.cut} others reached the model server`)
for (const problem of account.problems.slice(0, 20)) print(`PROBLEM ${problem}`)
print(`${account.problems.length} problems`)
if (account.problems.length > 0) process.exitCode = 1

function print(line: string): void {
  process.stdout.write(`${line}\n`)
}
