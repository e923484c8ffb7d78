import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { z } from 'zod'
import type { Config } from '../../src/config/schema.ts'
import { runCommand, startCommand } from '../support/command.ts'
import { settingsOnRedis, testConfig } from '../support/gatehouse.ts'
import { startModelServer, type ModelServer } from '../support/model-server.ts'
import { hasRedisServer } from '../support/redis-binary.ts'
import { startRedis, type RedisServers } from '../support/redis-server.ts'
import { waitUntil } from '../support/wait-until.ts'

const clientSchema = z.object({ client_id: z.string(), client_secret: z.string() })
const tokenSchema = z.object({ access_token: z.string() })

describe.skipIf(!hasRedisServer)('an issuer and a proxy in the sandbox', () => {
  let dir: string
  let redis: RedisServers
  let model: ModelServer
  let config: Config
  let flags: string[]
  const started: ReturnType<typeof startCommand>[] = []
  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'gatehouse-sandbox-'))
    redis = await startRedis()
    model = await startModelServer()
    const set = [...settingsOnRedis(redis.url), `proxy.upstreams=${model.url}`]
    config = await testConfig(dir, set)
    const places = [
      `dataDir=${config.dataDir}`,
      `keys.dir=${config.keys.dir}`,
      `admin.listen=${config.admin.listen}`,
      ...(['issuer', 'proxy'] as const).flatMap((role) =>
        (['url', 'listen', 'opsListen'] as const).map(
          (name) => `${role}.${name}=${config[role][name]}`,
        ),
      ),
    ]
    flags = [...set, ...places].flatMap((each) => ['--set', each])
    for (const role of ['issuer', 'proxy']) {
      const program = startCommand([...flags, role])
      started.push(program)
      await waitUntil(
        `the ${role}`,
        async () => program.output.stdout.includes('listens on'),
        60_000,
      )
    }
  }, 120_000)
  afterAll(async () => {
    for (const { child } of started) child.kill('SIGKILL')
    await Promise.all(started.map(({ finished }) => finished))
    await Promise.all([redis.stop(), model.close()])
    await rm(dir, { recursive: true })
  })

  test('both run under the permission model, and say nothing about it', async () => {
    for (const { child, output } of started) {
      const commandLine = await readFile(`/proc/${child.pid}/cmdline`, 'utf8')
      expect(commandLine.split('\0')).toEqual(
        expect.arrayContaining(['--permission', '--disallow-code-generation-from-strings']),
      )
      expect(output.stderr).not.toContain('(node:')
    }
  })

  test('they make clients, issue tokens, read images and count what they use', async () => {
    const created = await runCommand([...flags, 'clients', 'create', '--json'])
    const client = clientSchema.parse(JSON.parse(created.stdout))
    const answer = await fetch(`${config.issuer.url}/token`, {
      method: 'POST',
      body: new URLSearchParams({ grant_type: 'client_credentials', ...client }),
    })
    const { access_token } = tokenSchema.parse(await answer.json())
    const authorization = `Bearer ${access_token}`
    const called = await fetch(`${config.proxy.url}/v1/models`, { headers: { authorization } })
    expect(called.status).toBe(200)
    for (const role of ['issuer', 'proxy'] as const) {
      const metrics = await (await fetch(`http://${config[role].opsListen}/metrics`)).text()
      expect(metrics).toMatch(/^process_open_fds \d/m)
    }
  })

  test('they leave whole audit trails behind', async () => {
    for (const { child } of started) child.kill('SIGTERM')
    for (const { finished } of started) expect(await finished).toMatchObject({ code: 0 })
    const trail = join(config.dataDir, 'audit')
    const files = await readdir(trail)
    expect(files.filter((name) => name.endsWith('.jsonl'))).toHaveLength(2)
    expect((await runCommand(['audit', 'verify', '--dir', trail])).code).toBe(0)
  })
})
