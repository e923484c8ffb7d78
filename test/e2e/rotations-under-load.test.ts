import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { z } from 'zod'
import { connectAdminApi, type AdminApi } from '../../src/cli/admin-api.ts'
import { adminKeyPathOf } from '../../src/cli/admin-bootstrap.ts'
import { startIssuer, startProxy, type Running, type RunningIssuer } from '../../src/cli/compose.ts'
import type { Config } from '../../src/config/schema.ts'
import { systemClock } from '../../src/kernel/clock.ts'
import { createLog } from '../../src/kernel/log.ts'
import { loadClientKey } from '../../src/keys/client-key-file.ts'
import { newClientSchema } from '../../src/registry/client.ts'
import { inspectToken } from '../../src/tokens/inspect.ts'
import { testConfig } from '../support/gatehouse.ts'
import { startModelServer, type ModelServer } from '../support/model-server.ts'
import { hasRedisServer } from '../support/redis-binary.ts'
import { startRedis, type RedisServers } from '../support/redis-server.ts'
import { waitUntil } from '../support/wait-until.ts'

/** `ROTATIONS=10` for the long form. */
const ROTATIONS = Number(process.env['ROTATIONS'] ?? 4)
const around = { log: createLog('silent'), clock: systemClock }
const ringSchema = z.object({ items: z.array(z.object({ kid: z.string(), state: z.string() })) })
const jwksSchema = z.object({ keys: z.array(z.object({ kid: z.string() })) })
const tokenSchema = z.object({ access_token: z.string() })
const headerSchema = z.object({ kid: z.string() })

describe.skipIf(!hasRedisServer)('two issuers and two proxies on one Redis', () => {
  let dir: string
  let servers: RedisServers
  let model: ModelServer
  let configs: Config[]
  let issuers: RunningIssuer[]
  let proxies: Running[]
  let basic: string
  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'gatehouse-rotations-'))
    servers = await startRedis()
    model = await startModelServer()
    const encryptionKey = randomBytes(32).toString('base64')
    const first = await testConfig(join(dir, 'first'))
    const shared = [
      `issuer.url=${first.issuer.url}`,
      `proxy.url=${first.proxy.url}`,
      `proxy.upstreams=${model.url}`,
      `redis.url=${servers.url}`,
      `keys.encryptionKey=${encryptionKey}`,
      'keys.jwksMaxAgeSeconds=1',
    ]
    const here = [`issuer.listen=${first.issuer.listen}`, `proxy.listen=${first.proxy.listen}`]
    const started = [
      await testConfig(join(dir, 'first'), [...shared, ...here]),
      await testConfig(join(dir, 'second'), shared),
    ]
    // Each proxy asks an issuer of its own.
    configs = started.map((config) => ({
      ...config,
      proxy: { ...config.proxy, jwksUrl: `http://${config.issuer.listen}/jwks` },
    }))
    issuers = []
    for (const config of configs) issuers.push(await startIssuer(config, around))
    proxies = await Promise.all(configs.map((config) => startProxy(config, around)))
    const made = await issuers[0]?.registry.clients.create(newClientSchema.parse({}))
    const credentials = `${made?.client.client_id}:${made?.clientSecret}`
    basic = Buffer.from(credentials).toString('base64')
  }, 60_000)
  afterAll(async () => {
    await Promise.all([...proxies, ...issuers].map((each) => each.close(0)))
    await Promise.all([servers.stop(), model.close()])
    await rm(dir, { recursive: true })
  })

  test(
    'rotate again and again under load: no request fails, every live token has its key everywhere',
    { timeout: 120_000 },
    async () => {
      const tokens: { token: string; kid: string }[] = []
      const failures: string[] = []
      const counts = { tokens: 0, calls: 0, looks: 0 }
      const over = new AbortController()

      const requestTokens = async ({ issuer }: Config) => {
        while (!over.signal.aborted) {
          const response = await fetch(`http://${issuer.listen}/token`, {
            method: 'POST',
            headers: { authorization: `Basic ${basic}` },
            body: new URLSearchParams({ grant_type: 'client_credentials' }),
          })
          if (!response.ok) failures.push(`token ${response.status} ${await response.text()}`)
          else {
            const { access_token: token } = tokenSchema.parse(await response.json())
            tokens.push({ token, kid: headerSchema.parse(inspectToken(token).header).kid })
            counts.tokens += 1
          }
          await pause(20)
        }
      }
      /** The newest token, and an older one by turns: each is good until it expires, at every proxy. */
      const callModel = async ({ proxy }: Config) => {
        while (!over.signal.aborted) {
          const newest = tokens.length - 1
          const chosen = tokens[counts.calls % 2 === 0 ? newest : counts.calls % (newest + 1)]
          if (chosen === undefined) await pause(5)
          else {
            const response = await fetch(`http://${proxy.listen}/v1/models`, {
              headers: { authorization: `Bearer ${chosen.token}` },
            })
            const text = await response.text()
            if (!response.ok) failures.push(`call ${response.status} ${text}`)
            counts.calls += 1
          }
        }
      }
      const watchJwks = async ({ issuer }: Config) => {
        while (!over.signal.aborted) {
          const live = new Set(tokens.map(({ kid }) => kid))
          const response = await fetch(`http://${issuer.listen}/jwks`)
          const { keys } = jwksSchema.parse(await response.json())
          const published = new Set(keys.map(({ kid }) => kid))
          const missing = [...live].filter((kid) => !published.has(kid))
          failures.push(...missing.map((kid) => `not published: ${kid}`))
          counts.looks += 1
          await pause(10)
        }
      }
      const load = configs.flatMap((config) => [
        requestTokens(config),
        callModel(config),
        watchJwks(config),
      ])
      const apis = await Promise.all(configs.map((config) => adminApi(config)))
      for (let done = 0; done < ROTATIONS; done += 1) await rotate(apis[done % apis.length])
      over.abort()
      await Promise.all(load)

      expect(failures).toEqual([])
      expect(new Set(tokens.map(({ kid }) => kid)).size).toBeGreaterThanOrEqual(ROTATIONS)
      expect(Math.min(...Object.values(counts))).toBeGreaterThan(ROTATIONS * 10)
      process.stdout.write(`${ROTATIONS} rotations, ${JSON.stringify(counts)}\n`)
    },
  )

  /** By the key of the issuer that made the admin client. */
  async function adminApi({ admin }: Config): Promise<AdminApi> {
    const [first] = configs
    const key = first && (await loadClientKey(adminKeyPathOf(first)))
    if (key === undefined) throw new Error('there is no admin key')
    return connectAdminApi(`http://${admin.listen}`, key)
  }
})

async function rotate(api: AdminApi | undefined): Promise<void> {
  const ring = async () => ringSchema.parse(await api?.call({ path: 'keys' })).items
  const next = (await ring()).find(({ state }) => state === 'next')?.kid
  await api?.call({ method: 'POST', path: 'keys/rotate', query: { when: 'ready' } })
  await waitUntil('the rotation', async () =>
    (await ring()).some(({ kid, state }) => kid === next && state === 'active'),
  )
}
