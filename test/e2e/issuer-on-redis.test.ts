import { randomBytes } from 'node:crypto'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startIssuer, type RunningIssuer } from '../../src/cli/start-issuer.ts'
import type { Config } from '../../src/config/schema.ts'
import { systemClock } from '../../src/kernel/clock.ts'
import { ConfigError } from '../../src/kernel/errors.ts'
import { createLog } from '../../src/kernel/log.ts'
import { newClientSchema } from '../../src/registry/client.ts'
import { testConfig } from '../support/gatehouse.ts'
import { hasRedisServer } from '../support/redis-binary.ts'
import { expectLifetimes } from '../support/redis-lifetimes.ts'
import { startRedis, type RedisServers } from '../support/redis-server.ts'

const around = { log: createLog('silent'), clock: systemClock }

describe.skipIf(!hasRedisServer)('two issuers on one Redis', () => {
  let dir: string
  let servers: RedisServers
  let configs: Config[]
  let issuers: RunningIssuer[]
  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'gatehouse-redis-issuer-'))
    servers = await startRedis()
    const key = randomBytes(32).toString('base64')
    const onRedis = (name: string) =>
      testConfig(join(dir, name), [`redis.url=${servers.url}`, `keys.encryptionKey=${key}`])
    configs = [await onRedis('first'), await onRedis('second')]
    issuers = await Promise.all(configs.map((config) => startIssuer(config, around)))
  })
  afterAll(async () => {
    await Promise.all(issuers.map((issuer) => issuer.close(0)))
    await expectLifetimes(servers).finally(servers.stop)
    await rm(dir, { recursive: true })
  })

  test('know the same clients, and a change at one counts at once at the other', async () => {
    const made = await issuers[0]?.registry.clients.create(newClientSchema.parse({}))
    const clientId = made?.client.client_id ?? ''
    const basic = Buffer.from(`${clientId}:${made?.clientSecret}`).toString('base64')
    const statuses = () =>
      Promise.all(
        configs.map(async ({ issuer }) => {
          const response = await fetch(`${issuer.url}/token`, {
            method: 'POST',
            headers: { authorization: `Basic ${basic}` },
            body: new URLSearchParams({ grant_type: 'client_credentials' }),
          })
          return response.status
        }),
      )
    expect(await statuses()).toEqual([200, 200])
    await issuers[1]?.registry.clients.disable(clientId)
    expect(await statuses()).toEqual([401, 401])
    await issuers[0]?.registry.clients.enable(clientId)
    expect(await statuses()).toEqual([200, 200])
  })

  test('sign with the same key, which Redis never shows, and have no file of it', async () => {
    const jwks = await Promise.all(
      configs.map(async ({ issuer }) => (await fetch(`${issuer.url}/jwks`)).json()),
    )
    expect(jwks[0]).toEqual(jwks[1])
    const kept = await servers.nodes[0]?.link.send(['get', 'gatehouse:record:keys:ring.json'])
    expect(String(kept)).toMatch(/^.{22}"{\\"sealed\\":\\"[\w.-]+\\"}"$/)
    const folders = await Promise.all(configs.map(({ keys }) => readdir(keys.dir).catch(() => [])))
    expect([...new Set(folders.flat())]).toEqual(['admin.jwk'])
  })

  test('one without the encryption key, or with another, says so and changes nothing', async () => {
    const ring = () => servers.nodes[0]?.link.send(['get', 'gatehouse:record:keys:ring.json'])
    const before = await ring()
    const set = [`redis.url=${servers.url}`]
    const without = await testConfig(join(dir, 'without'), set)
    await expect(startIssuer(without, around)).rejects.toThrow('keys.encryptionKey: required')
    const key = randomBytes(32).toString('base64')
    const other = await testConfig(join(dir, 'other'), [...set, `keys.encryptionKey=${key}`])
    await expect(startIssuer(other, around)).rejects.toThrow(
      'something else than keys.encryptionKey',
    )
    expect(await ring()).toBe(before)
  })

  test('have one tenant default, whoever made it', async () => {
    const page = await issuers[0]?.registry.tenants.list({ limit: 10 })
    expect(page?.items.map(({ tenant_id: id }) => id)).toEqual(['default'])
  })

  test('an issuer without its Redis says so instead of starting', async () => {
    const key = randomBytes(32).toString('base64')
    const set = ['redis.url=redis://127.0.0.1:1', `keys.encryptionKey=${key}`]
    const config = await testConfig(dir, set)
    await expect(startIssuer(config, around)).rejects.toThrow(ConfigError)
  })
})
