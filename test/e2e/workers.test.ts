import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createLog } from '../../src/kernel/log.ts'
import { systemClock } from '../../src/kernel/clock.ts'
import { startIssuer, type RunningIssuer } from '../../src/cli/start-issuer.ts'
import { shareOf } from '../../src/cli/worker-share.ts'
import type { Config } from '../../src/config/schema.ts'
import { newClientSchema } from '../../src/registry/client.ts'
import { appendRevocation } from '../../src/revocations/append-revocation.ts'
import { revokeIssuedUpTo } from '../../src/revocations/revocation.ts'
import { startCommand } from '../support/command.ts'
import { settingsOnRedis, testConfig } from '../support/gatehouse.ts'
import { startModelServer, type ModelServer } from '../support/model-server.ts'
import { hasRedisServer } from '../support/redis-binary.ts'
import { startRedis, type RedisServers } from '../support/redis-server.ts'
import { waitUntil } from '../support/wait-until.ts'

function isGone(pid: number): boolean {
  try {
    return !process.kill(pid, 0)
  } catch {
    return true
  }
}

describe.skipIf(!hasRedisServer)('a proxy of two workers', () => {
  let dir: string
  let redis: RedisServers
  let model: ModelServer
  let config: Config
  let file: string
  let issuer: RunningIssuer
  let proxy: ReturnType<typeof startCommand>
  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'gatehouse-workers-'))
    redis = await startRedis()
    model = await startModelServer()
    const set = [
      ...settingsOnRedis(redis.url),
      `proxy.upstreams=${model.url}`,
      'proxy.workers=2',
      'proxy.healthCheck.intervalSeconds=0',
      'audit.sink=stdout',
    ]
    config = await testConfig(dir, set)
    issuer = await startIssuer(config, { log: createLog('silent'), clock: systemClock })
    const own = ['url', 'listen', 'opsListen'] as const
    const flags = [
      `dataDir=${config.dataDir}`,
      `issuer.url=${config.issuer.url}`,
      ...own.map((name) => `proxy.${name}=${config.proxy[name]}`),
      ...set,
    ]
    file = join(dir, 'gatehouse.yaml')
    await writeFile(file, '')
    const args = ['--config', file, ...flags.flatMap((each) => ['--set', each]), 'proxy']
    proxy = startCommand(args, { GATEHOUSE_KEYS__PREVIOUS_PASSPHRASE: 'of the issuer alone' })
    await waitUntil('two workers', async () => proxy.output.stdout.includes('listens on'), 60_000)
  }, 120_000)
  afterAll(async () => {
    proxy.child.kill('SIGKILL')
    await proxy.finished
    await issuer.close(0)
    await Promise.all([redis.stop(), model.close()])
    await rm(dir, { recursive: true })
  })

  async function tokenOf(limits?: object): Promise<{ token: string; clientId: string }> {
    const { client, clientSecret } = await issuer.registry.clients.create(
      newClientSchema.parse(limits === undefined ? {} : { limits }),
    )
    const basic = Buffer.from(`${client.client_id}:${clientSecret}`).toString('base64')
    const answer = await fetch(`${config.issuer.url}/token`, {
      method: 'POST',
      headers: { authorization: `Basic ${basic}` },
      body: new URLSearchParams({ grant_type: 'client_credentials' }),
    })
    const { access_token: token } = (await answer.json()) as { access_token: string }
    return { token, clientId: client.client_id }
  }
  /** Each on a connection of its own, so that both workers get some. */
  const call = async (token: string) =>
    (
      await fetch(`${config.proxy.url}/v1/models`, {
        headers: { authorization: `Bearer ${token}`, connection: 'close' },
      })
    ).status
  const ops = async (path: string) =>
    (await fetch(`http://${config.proxy.opsListen}${path}`)).text()
  /** As the log has them, the last one of each worker. */
  const pids = (): Record<string, number> => {
    const said = proxy.output.stderr.matchAll(/worker (\d) serves as process (\d+)/g)
    return Object.fromEntries([...said].map(([, worker, pid]) => [worker, Number(pid)]))
  }
  const servedBy = async () =>
    (await ops('/metrics'))
      .split('\n')
      .filter((line) => /^gatehouse_proxy_requests_total.*v1.models",outcome="allowed"/.test(line))
      .map((line) => /worker="(\d)"/.exec(line)?.[1])
      .sort((a, b) => Number(a) - Number(b))

  test('serves with both, which the operators’ listener tells apart', async () => {
    const { token } = await tokenOf()
    await waitUntil('answers of both', async () => {
      expect(await call(token)).toBe(200)
      return (await servedBy()).join() === '1,2'
    })
    expect(await ops('/metrics')).toContain('gatehouse_proxy_workers{worker="first"} 2')
    expect(await ops('/metrics')).toContain('gatehouse_proxy_workers_wanted{worker="first"} 2')
    await waitUntil('all checks', async () => (await ops('/readyz')).startsWith('{"status":"ok"'))
    const { checks } = JSON.parse(await ops('/readyz')) as { checks: object }
    expect(Object.keys(checks)).toEqual([
      'serving',
      'workers',
      'keys',
      'revocations',
      'upstreams',
      'limits',
      'audit',
    ])
  })

  test('tells neither what only the issuer has to know', async () => {
    for (const pid of Object.values(pids())) {
      const environment = await readFile(`/proc/${pid}/environ`, 'utf8')
      expect(environment).toContain('NODE_UNIQUE_ID')
      expect(environment).not.toContain('GATEHOUSE_')
    }
    const keys = { ...config.keys, previousPassphrase: 'of the issuer alone' }
    expect(JSON.stringify(shareOf({ ...config, keys }))).not.toMatch(/alone|encryptionKey/)
  })

  test('lets neither start a program, nor read what is not its own', async () => {
    const argumentsOf = async (pid: number | undefined) =>
      (await readFile(`/proc/${pid}/cmdline`, 'utf8')).split('\0')
    expect(await argumentsOf(proxy.child.pid)).toContain('--allow-child-process')
    for (const pid of Object.values(pids())) {
      const flags = await argumentsOf(pid)
      expect(flags).toContain('--permission')
      expect(flags).toContain(`--allow-fs-write=${config.dataDir}`)
      expect(flags).not.toContain('--allow-child-process')
    }
  })

  test('counts a caller’s limit once for both', async () => {
    const { token } = await tokenOf({ rpm: 5 })
    const statuses: number[] = []
    for (let i = 0; i < 8; i += 1) statuses.push(await call(token))
    expect(statuses.filter((status) => status === 200)).toHaveLength(5)
    expect(statuses.filter((status) => status === 429)).toHaveLength(3)
  })

  test('hears of a revocation in both', async () => {
    const { token, clientId } = await tokenOf()
    for (let i = 0; i < 4; i += 1) expect(await call(token)).toBe(200)
    const now = Math.floor(Date.now() / 1000)
    await appendRevocation(issuer.store, revokeIssuedUpTo(now, 'client', clientId))
    await waitUntil('refusals alone', async () => {
      const statuses = [await call(token), await call(token), await call(token), await call(token)]
      return statuses.every((status) => status === 401)
    })
  })

  test('reloads all of them', async () => {
    const routes = [...config.proxy.routes, { method: 'GET', path: '/more', public: true }]
    await writeFile(file, JSON.stringify({ proxy: { routes } }))
    proxy.child.kill('SIGHUP')
    await waitUntil('the new route in both', async () => {
      const ask = () => fetch(`${config.proxy.url}/more`, { headers: { connection: 'close' } })
      const answers = [await ask(), await ask(), await ask(), await ask()]
      return answers.every(({ status }) => status === 200)
    })
    const isSaid = async () => proxy.output.stderr.includes('certificates, proxy.routes reloaded')
    await waitUntil('the word of it', isSaid)
    expect(await servedBy()).toEqual(['1', '2'])
  })

  test('replaces one that is killed, and goes on meanwhile', async () => {
    const { token } = await tokenOf()
    const before = pids()
    process.kill(before[1] ?? 0, 'SIGKILL')
    await waitUntil('its replacement', async () => {
      expect(await call(token)).toBe(200)
      return pids()[1] !== before[1]
    })
    expect(pids()[2]).toBe(before[2])
    expect(proxy.output.stderr).toContain('"reason":"SIGKILL"')
    await waitUntil('answers of both', async () => {
      expect(await call(token)).toBe(200)
      return (await servedBy()).join() === '1,2'
    })
  })

  test('drains all of them when it is told to stop, and leaves whole lines and all records behind', async () => {
    const { token } = await tokenOf()
    // What the pipes between take; more than this one's own does.
    proxy.child.stdout?.pause()
    for (let i = 0; i < 600; i += 1) {
      const headers = { connection: 'close', 'x-request-id': `left-behind-${i}` }
      await (await fetch(`${config.proxy.url}/v1/models`, { headers })).text()
    }
    const { promise: isThere, resolve: hasCome } = Promise.withResolvers<() => void>()
    model.answer((_req, res) => hasCome(() => res.end('{}')))
    const status = call(token)
    const answerLate = await isThere
    proxy.child.kill('SIGTERM')
    await waitUntil('draining', async () => proxy.output.stderr.includes('"draining"'))
    answerLate()
    expect(await status).toBe(200)
    const workers = Object.values(pids())
    await waitUntil('the end of the workers', async () => workers.every(isGone))
    proxy.child.stdout?.resume()
    const { code, stdout } = await proxy.finished
    expect(code).toBe(0)
    expect(stdout.split('"request_id":"left-behind-')).toHaveLength(601)
    for (const line of proxy.output.stderr.trimEnd().split('\n')) {
      if (!line.startsWith('warning: ')) JSON.parse(line)
    }
  })
})
