import { execFile, spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { openSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'
import { z } from 'zod'
import { freePorts } from '../src/cli/free-ports.ts'
import { waitFor } from './lab.ts'

/** A process that can be killed, started again and stopped for a while. */
type Service = {
  pid: () => number
  kill: () => Promise<void>
  restart: () => Promise<void>
  pauseFor: (ms: number) => Promise<void>
}

export type World = {
  port: number
  proxyPid: number
  opsUrl: string
  auditDir: string
  logFile: string
  /** Each makes one thing fail for a while, and resolves when it is back. */
  faults: Readonly<Record<string, () => Promise<void>>>
  getToken: () => Promise<string>
  stop: () => Promise<void>
}

const MAIN = join(import.meta.dirname, '../src/cli/main.ts')
const MODEL = join(import.meta.dirname, 'faulty-model.ts')
const clientSchema = z.object({ client_id: z.string(), client_secret: z.string() })
const tokenSchema = z.object({ access_token: z.string() })

/** An issuer and a proxy on one Redis, in front of two model servers that are not to be relied on: all processes. */
export async function startWorld(dir: string): Promise<World> {
  const [issuerPort, issuerOps, admin, port = 0, opsPort, redisPort, ...modelPorts] =
    await freePorts(8)
  const [firstPort, secondPort] = modelPorts
  const issuerUrl = `http://localhost:${issuerPort}`
  const opsUrl = `http://127.0.0.1:${opsPort}`
  const env = {
    GATEHOUSE_DATA_DIR: join(dir, 'data'),
    GATEHOUSE_KEYS__DIR: join(dir, 'keys'),
    GATEHOUSE_KEYS__ENCRYPTION_KEY: Buffer.alloc(32, 7).toString('base64'),
    GATEHOUSE_REDIS__URL: `redis://127.0.0.1:${redisPort}`,
    GATEHOUSE_ISSUER__URL: issuerUrl,
    GATEHOUSE_ISSUER__LISTEN: `127.0.0.1:${issuerPort}`,
    GATEHOUSE_ISSUER__OPS_LISTEN: `127.0.0.1:${issuerOps}`,
    GATEHOUSE_ADMIN__LISTEN: `127.0.0.1:${admin}`,
    GATEHOUSE_PROXY__URL: `http://localhost:${port}`,
    GATEHOUSE_PROXY__LISTEN: `127.0.0.1:${port}`,
    GATEHOUSE_PROXY__OPS_LISTEN: `127.0.0.1:${opsPort}`,
    GATEHOUSE_PROXY__UPSTREAMS: modelPorts.map((each) => `http://127.0.0.1:${each}`).join(','),
    GATEHOUSE_PROXY__CONNECT_TIMEOUT_SECONDS: '1',
    GATEHOUSE_PROXY__FIRST_BYTE_TIMEOUT_SECONDS: '5',
    GATEHOUSE_PROXY__IDLE_TIMEOUT_SECONDS: '5',
    GATEHOUSE_PROXY__HEALTH_CHECK__INTERVAL_SECONDS: '1',
    GATEHOUSE_PROXY__QUEUE__MAX_WAIT_SECONDS: '5',
    GATEHOUSE_REVOCATIONS__MAX_STALENESS_SECONDS: '8',
  }
  const start = (name: string, command: readonly string[]) =>
    startService(join(dir, `${name}.log`), command, env)
  const redis = start('redis', [
    'redis-server',
    '--port',
    String(redisPort),
    '--bind',
    '127.0.0.1',
    '--dir',
    dir,
    '--appendonly',
    'yes',
  ])
  const models = modelPorts.map((each, i) =>
    start(`model-${i}`, [process.execPath, MODEL, String(each), String(i)]),
  )
  for (const each of modelPorts) await waitFor(`http://127.0.0.1:${each}/health`)
  const issuer = start('issuer', [process.execPath, MAIN, 'issuer'])
  await waitFor(`http://127.0.0.1:${issuerOps}/readyz`, (status) => status === 200)
  const proxy = start('proxy', [process.execPath, '--expose-gc', MAIN, 'proxy'])
  await waitFor(`${opsUrl}/readyz`, (status) => status === 200)

  const { stdout } = await promisify(execFile)(
    process.execPath,
    [MAIN, 'clients', 'create', '--json', '--limits', 'rpm=1000000,concurrency=1000'],
    {
      env: {
        ...process.env,
        GATEHOUSE_ADMIN_URL: `http://127.0.0.1:${admin}`,
        GATEHOUSE_ADMIN_KEY_FILE: join(dir, 'keys', 'admin.jwk'),
      },
    },
  )
  const { client_id: id, client_secret: secret } = clientSchema.parse(JSON.parse(stdout))

  const goneFor = async (service: Service, ms: number) => {
    await service.kill()
    await delay(ms)
    await service.restart()
  }
  const [first, second] = models
  if (first === undefined || second === undefined)
    throw new Error(`no ${firstPort} or ${secondPort}`)
  return {
    port,
    proxyPid: proxy.pid(),
    opsUrl,
    auditDir: join(dir, 'data', 'audit'),
    logFile: join(dir, 'proxy.log'),
    faults: {
      'a model server is killed': () => goneFor(first, 3000),
      'both model servers are killed': async () => {
        await Promise.all([goneFor(first, 2000), goneFor(second, 2000)])
      },
      'a model server stands still': () => second.pauseFor(8000),
      'the issuer is killed': () => goneFor(issuer, 3000),
      'the issuer stands still': () => issuer.pauseFor(8000),
      'Redis is killed': () => goneFor(redis, 3000),
      'Redis stands still': () => redis.pauseFor(6000),
      'Redis stands still for longer than revocations may be stale': () => redis.pauseFor(12_000),
    },
    async getToken() {
      const response = await fetch(`${issuerUrl}/token`, {
        method: 'POST',
        headers: { authorization: `Basic ${Buffer.from(`${id}:${secret}`).toString('base64')}` },
        body: new URLSearchParams({ grant_type: 'client_credentials' }),
        signal: AbortSignal.timeout(5000),
      })
      return tokenSchema.parse(await response.json()).access_token
    },
    async stop() {
      await Promise.all(
        [proxy, issuer, redis, first, second].map((service) => service.kill('SIGTERM')),
      )
    },
  }
}

function startService(
  logFile: string,
  [command = '', ...args]: readonly string[],
  env: Readonly<Record<string, string>>,
) {
  const log = openSync(logFile, 'a')
  let child: ChildProcess = begin()
  process.once('exit', () => child.kill('SIGKILL'))

  function begin(): ChildProcess {
    return spawn(command, args, {
      env: { PATH: process.env['PATH'], HOME: process.env['HOME'], ...env },
      stdio: ['ignore', log, log],
    })
  }

  return {
    pid: () => child.pid ?? 0,
    async kill(signal: 'SIGKILL' | 'SIGTERM' = 'SIGKILL') {
      const exited = once(child, 'exit')
      if (child.exitCode === null && child.signalCode === null && child.kill(signal)) await exited
    },
    async restart() {
      child = begin()
      await once(child, 'spawn')
    },
    async pauseFor(ms: number) {
      child.kill('SIGSTOP')
      await delay(ms)
      child.kill('SIGCONT')
    },
  }
}
