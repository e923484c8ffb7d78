import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { parseArgs, promisify } from 'node:util'
import { z } from 'zod'
import { freePorts } from '../src/cli/free-ports.ts'
import { formatTable } from '../src/cli/table.ts'
import { inLab, SERVER_CORE, waitFor, type Lab, type StartOptions } from './lab.ts'
import { median } from './median.ts'
import { measure, type Contestant, type Load, type Measured } from './wrk.ts'

/** Tokens by client credentials, beside bare oidc-provider and bare signing, by turns. Usage: bench/README.md. */
const { values: flags } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '5' },
    connections: { type: 'string', default: '16' },
  },
})
const rounds = Number(flags.rounds)
const CORES: readonly StartOptions['core'][] = [SERVER_CORE, '0,1']

const here = (path: string) => join(import.meta.dirname, path)
const execute = promisify(execFile)
const createdSchema = z.object({ client_id: z.string(), client_secret: z.string() })

type Server = Contestant & { authorization: string }
type Results = ReadonlyMap<Server, readonly Measured[]>

await inLab(async (lab) => {
  for (const core of CORES) {
    const servers = [await startGatehouse(lab, core), ...(await startBareServers(lab, core))]
    for (const server of servers) await measure(lab, server, loadOf(server, 2))
    const results = new Map(servers.map((server) => [server, Array<Measured>()]))
    for (let round = 1; round <= rounds; round += 1) {
      process.stderr.write(`core ${core}, round ${round} of ${rounds}\n`)
      for (const [server, runs] of results) {
        runs.push(await measure(lab, server, loadOf(server, Number(flags.seconds))))
      }
    }
    process.stdout.write(`\n${core === SERVER_CORE ? 'one core' : 'two cores, shared with wrk'}\n`)
    process.stdout.write(`${tableOf(results)}\n`)
  }
})

function loadOf({ authorization }: Server, seconds: number): Load {
  return {
    path: '/token',
    contentType: 'application/x-www-form-urlencoded',
    body: 'grant_type=client_credentials',
    authorizations: [authorization],
    connections: Number(flags.connections),
    seconds,
  }
}

/** As an operator runs it: the registry on its file, the log at level info in another. */
async function startGatehouse(lab: Lab, core: StartOptions['core']): Promise<Server> {
  const [port, opsPort, adminPort] = await freePorts(3)
  const dir = join(lab.dir, `issuer-on-${core}`)
  const url = `http://localhost:${port}`
  const env = {
    GATEHOUSE_DATA_DIR: join(dir, 'data'),
    GATEHOUSE_KEYS__DIR: join(dir, 'keys'),
    GATEHOUSE_ISSUER__URL: url,
    GATEHOUSE_ISSUER__LISTEN: `127.0.0.1:${port}`,
    GATEHOUSE_ISSUER__OPS_LISTEN: `127.0.0.1:${opsPort}`,
    GATEHOUSE_ADMIN__LISTEN: `127.0.0.1:${adminPort}`,
  }
  const main = process.env['BENCH_GATEHOUSE_MAIN'] ?? here('../src/cli/main.ts')
  const pid = lab.start(`gatehouse-${core}`, [process.execPath, main, 'issuer'], { core, env })
  await waitFor(`http://127.0.0.1:${opsPort}/readyz`, (status) => status === 200)
  const { stdout } = await execute(process.execPath, [main, 'clients', 'create', '--json'], {
    env: {
      ...process.env,
      GATEHOUSE_ADMIN_URL: `http://127.0.0.1:${adminPort}`,
      GATEHOUSE_ADMIN_KEY_FILE: join(dir, 'keys', 'admin.jwk'),
    },
  })
  const { client_id: clientId, client_secret: secret } = createdSchema.parse(JSON.parse(stdout))
  return { name: 'gatehouse', url, pid, authorization: basic(clientId, secret) }
}

async function startBareServers(lab: Lab, core: StartOptions['core']): Promise<Server[]> {
  const [providerPort, signerPort] = await freePorts(2)
  const start = async (name: string, port: number | undefined, command: string[]) => {
    const pid = lab.start(`${name}-${core}`, [process.execPath, ...command], { core })
    const url = `http://127.0.0.1:${port}`
    await waitFor(url)
    return { name, url, pid, authorization: basic('bench', 'a-plain-secret') }
  }
  const provider = [here('bare-oidc-provider.ts'), String(providerPort), 'bench', 'a-plain-secret']
  return [
    await start('oidc-provider alone', providerPort, provider),
    await start('node:http and crypto.sign', signerPort, [
      here('bare-signer.ts'),
      String(signerPort),
    ]),
  ]
}

function basic(id: string, secret: string): string {
  return `Basic ${Buffer.from(`${id}:${secret}`).toString('base64')}`
}

function tableOf(results: Results): string {
  const [, provider = [], signer = []] = results.values()
  const rows = [...results].map(([{ name }, runs]) => [
    name,
    median(runs.map((run) => run.requestsPerSecond)).toFixed(0),
    ratio(runs, provider),
    ratio(runs, signer),
    median(runs.map((run) => run.cpuMicrosecondsPerRequest)).toFixed(0),
    median(runs.map((run) => run.p99Ms)).toFixed(1),
  ])
  const headings = ['server', 'tokens/s', '÷ oidc-provider', '÷ signing', 'CPU µs each', 'p99 ms']
  return formatTable(headings, rows)
}

/** The median of the rounds' ratios, with the lowest and the highest. */
function ratio(runs: readonly Measured[], reference: readonly Measured[]): string {
  const ratios = runs.map(
    (run, i) => run.requestsPerSecond / (reference[i]?.requestsPerSecond ?? NaN),
  )
  const spread = `${Math.min(...ratios).toFixed(2)} to ${Math.max(...ratios).toFixed(2)}`
  return `${median(ratios).toFixed(2)} (${spread})`
}
