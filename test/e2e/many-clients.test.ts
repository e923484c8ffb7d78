import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startIssuer, type RunningIssuer } from '../../src/cli/start-issuer.ts'
import { freePorts } from '../../src/cli/free-ports.ts'
import { openRegistry } from '../../src/cli/open-registry.ts'
import type { Config } from '../../src/config/schema.ts'
import { systemClock } from '../../src/kernel/clock.ts'
import { createLog } from '../../src/kernel/log.ts'
import { createRegistry } from '../../src/registry/create-registry.ts'
import type { Store } from '../../src/store/store.ts'
import { runCommand, startCommand } from '../support/command.ts'
import { settingsOnRedis, testConfig } from '../support/gatehouse.ts'
import { addCopies, makeClient } from '../support/many-clients.ts'
import { hasRedisServer } from '../support/redis-binary.ts'
import { startRedis, type RedisServers } from '../support/redis-server.ts'
import { waitUntil } from '../support/wait-until.ts'

const FEW = 10
const MANY = 100_000
const around = { log: createLog('silent'), clock: systemClock }
/** Room for the program and a few pages; whoever held all 100,000 would need several times as much, and die. */
const SMALL_HEAP = { NODE_OPTIONS: '--max-old-space-size=56' }
const SERVER_HEAP = { NODE_OPTIONS: '--max-old-space-size=96' }
/** These machines are slow when others use them, too. */
const SLOWLY = 120_000

/** How many distinct clients the command prints in that much memory. */
async function countListed(args: string[], env: Record<string, string>) {
  const { code, stdout, stderr } = await runCommand(['clients', 'list', ...args], {
    ...SMALL_HEAP,
    ...env,
  })
  return { clients: new Set(stdout.match(/copy-\d+/g)).size, code, stderr }
}
const all = { clients: MANY, code: 0, stderr: '' }

describe('100,000 clients on SQLite', () => {
  let dir: string
  let env: Record<string, string>
  let issuer: ReturnType<typeof startCommand>
  let calls: { few: number; many: number }
  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'gatehouse-many-'))
    const [port, ops, admin] = await freePorts(3)
    env = {
      GATEHOUSE_DATA_DIR: join(dir, 'data'),
      GATEHOUSE_KEYS__DIR: join(dir, 'keys'),
      GATEHOUSE_ISSUER__URL: `http://localhost:${port}`,
      GATEHOUSE_ISSUER__LISTEN: `127.0.0.1:${port}`,
      GATEHOUSE_ISSUER__OPS_LISTEN: `127.0.0.1:${ops}`,
      GATEHOUSE_ADMIN__LISTEN: `127.0.0.1:${admin}`,
    }
    await runCommand(['init'], env)
    const config = { ...(await testConfig(dir)), dataDir: join(dir, 'data') }
    calls = await fillAndCount(config)
    issuer = startCommand(['issuer'], { ...env, ...SERVER_HEAP })
    await waitUntil('the issuer', async () => (await runCommand(['status'], env)).code === 0)
  }, SLOWLY)
  afterAll(async () => {
    issuer.child.kill('SIGTERM')
    await issuer.finished
    await rm(dir, { recursive: true })
  })

  test('a token request asks the store for no more than with ten', () => {
    expect(calls.few).toBeGreaterThan(0)
    expect(calls.many).toBe(calls.few)
  })

  test(
    'are listed as JSON in the memory of a few pages, on both sides',
    { timeout: SLOWLY },
    async () => {
      expect(await countListed(['--json'], env)).toEqual(all)
      expect(issuer.child.exitCode).toBeNull()
    },
  )
})

/** What a token request costs in calls to the store, by a registry that remembers nothing yet. */
async function fillAndCount(config: Config): Promise<{ few: number; many: number }> {
  const { store, registry, close } = await openRegistry(config, around)
  const { clientId, clientSecret } = await makeClient(registry.clients)
  const counted = async () => {
    let count = 0
    const counting = new Proxy(store, {
      get: (target, name: keyof Store) => {
        count += 1
        return target[name]
      },
    })
    const { clients } = createRegistry({
      store: counting,
      clock: systemClock,
      maxFailuresPerMinute: 30,
    })
    const version = (await clients.findIssuable(clientId))?.version
    const attempt = { clientId, version, secret: clientSecret, address: '127.0.0.1' }
    expect(await clients.verifySecret(attempt)).toBe(true)
    return count
  }
  await addCopies(store, clientId, FEW)
  const few = await counted()
  await addCopies(store, clientId, MANY, FEW)
  const many = await counted()
  await close()
  return { few, many }
}

describe.skipIf(!hasRedisServer)('100,000 clients on Redis', () => {
  let dir: string
  let servers: RedisServers
  let config: Config
  let issuer: RunningIssuer
  let client: { clientId: string; clientSecret: string }
  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'gatehouse-many-redis-'))
    servers = await startRedis()
    config = await testConfig(dir, settingsOnRedis(servers.url))
    issuer = await startIssuer(config, around)
    client = await makeClient(issuer.registry.clients)
  })
  afterAll(async () => {
    await issuer.close(0)
    await servers.stop()
    await rm(dir, { recursive: true })
  })

  /** What reads or writes a record. */
  const COUNTED = /cmdstat_(get|mget|eval|evalsha|zrangebylex):calls=(\d+)/g

  async function countCommands(): Promise<number> {
    const stats = String(await servers.nodes[0]?.link.send(['info', 'commandstats']))
    return [...stats.matchAll(COUNTED)].reduce((sum, [, , calls]) => sum + Number(calls), 0)
  }

  /** The least of a few requests, as the issuer now and then also asks for itself. */
  async function costOfRequest(): Promise<number> {
    const basic = Buffer.from(`${client.clientId}:${client.clientSecret}`).toString('base64')
    const costs: number[] = []
    for (let round = 0; round < 5; round += 1) {
      const before = await countCommands()
      const response = await fetch(`${config.issuer.url}/token`, {
        method: 'POST',
        headers: { authorization: `Basic ${basic}` },
        body: new URLSearchParams({ grant_type: 'client_credentials' }),
      })
      expect(response.status).toBe(200)
      costs.push((await countCommands()) - before)
    }
    return Math.min(...costs)
  }

  test(
    'a token request sends Redis no more than with ten, and all are listed as a table in the memory of a page',
    async () => {
      const { store, close } = await openRegistry(config, around)
      await addCopies(store, client.clientId, FEW)
      const few = await costOfRequest()
      await addCopies(store, client.clientId, MANY, FEW)
      await close()
      expect(few).toBeGreaterThan(0)
      expect(await costOfRequest()).toBe(few)

      const env = {
        GATEHOUSE_ADMIN_URL: `http://${config.admin.listen}`,
        GATEHOUSE_ADMIN_KEY_FILE: join(config.keys.dir, 'admin.jwk'),
      }
      expect(await countListed([], env)).toEqual(all)
    },
    SLOWLY,
  )
})
