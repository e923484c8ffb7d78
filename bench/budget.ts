import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { Pool } from 'undici'
import { freePorts } from '../src/cli/free-ports.ts'
import { startCommand } from '../test/support/command.ts'
import { startModelServer } from '../test/support/model-server.ts'
import { startRedis } from '../test/support/redis-server.ts'
import { startTestIssuer } from '../test/support/test-issuer.ts'
import { waitUntil } from '../test/support/wait-until.ts'

/**
 * Whether a budget holds for two proxies together: each a process, on one Redis. In each run a client that nobody has used
 * has a budget of requests; callers spend it at both proxies, as fast as they can, until each has been refused.
 */
const BUDGET = 10_000
const CALLERS = 64
const PATH = '/v1/models'

const { values } = parseArgs({ options: { runs: { type: 'string', default: '20' } } })

await using open = new AsyncDisposableStack()
const dir = await mkdtemp(join(tmpdir(), 'gatehouse-bench-'))
open.defer(() => rm(dir, { recursive: true }))
const redis = await startRedis()
open.defer(redis.stop)
const model = await startModelServer()
open.defer(model.close)
const [firstPort = 0, ...otherPorts] = await freePorts(4)
const url = `http://localhost:${firstPort}`
const issuer = await startTestIssuer(url)
open.defer(issuer.close)
const pools = await startProxies()

for (let run = 1; run <= Number(values.runs); run += 1) {
  const limits = { client: { daily_requests: BUDGET } }
  const token = await issuer.sign({ limits, client_id: `budget-${run}` })
  const startedAtMs = performance.now()
  model.received.length = 0
  const spent = await Promise.all(
    Array.from({ length: CALLERS }, (_, caller) => spend(pools[caller % 2], token)),
  )
  const allowed = spent.reduce((sum, each) => sum + each, 0)
  const seconds = (performance.now() - startedAtMs) / 1000
  const rate = Math.round((allowed + CALLERS) / seconds)
  const reached = model.received.filter(({ target }) => target === PATH).length
  process.stdout.write(
    `run ${run}: ${allowed} let in, ${reached} at the model server, ${rate} requests/s\n`,
  )
}

async function startProxies(): Promise<Pool[]> {
  const [secondPort, ...opsPorts] = otherPorts
  const started: Pool[] = []
  for (const [i, port] of [firstPort, secondPort].entries()) {
    const settings = [
      `dataDir=${join(dir, `proxy-${i}`)}`,
      `issuer.url=${issuer.url}`,
      `proxy.url=${url}`,
      `proxy.listen=127.0.0.1:${port}`,
      `proxy.opsListen=127.0.0.1:${opsPorts[i]}`,
      `proxy.upstreams=${model.url}`,
      `redis.url=${redis.url}`,
      `keys.encryptionKey=${Buffer.alloc(32, 1).toString('base64')}`,
    ]
    const { child, finished } = startCommand([
      'proxy',
      ...settings.flatMap((each) => ['--set', each]),
    ])
    open.defer(async () => {
      child.kill()
      await finished
    })
    const ready = `http://127.0.0.1:${opsPorts[i]}/readyz`
    await waitUntil('a proxy', async () => (await fetch(ready)).ok)
    const pool = new Pool(`http://127.0.0.1:${port}`, { connections: CALLERS / 2 })
    open.defer(() => pool.destroy())
    started.push(pool)
  }
  return started
}

/** How many requests of one caller were let in, until one was not. */
async function spend(pool: Pool | undefined, token: string): Promise<number> {
  if (pool === undefined) throw new Error('there is no proxy')
  const headers = { authorization: `Bearer ${token}` }
  for (let allowed = 0; ; allowed += 1) {
    const answer = await pool.request({ method: 'GET', path: PATH, headers })
    await answer.body.dump()
    if (answer.statusCode === 429) return allowed
    if (answer.statusCode !== 200) throw new Error(`answered with ${answer.statusCode}`)
  }
}
