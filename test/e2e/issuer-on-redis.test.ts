import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startIssuer, type RunningIssuer } from '../../src/cli/compose.ts'
import type { Config } from '../../src/config/schema.ts'
import { systemClock } from '../../src/kernel/clock.ts'
import { ConfigError } from '../../src/kernel/errors.ts'
import { createLog } from '../../src/kernel/log.ts'
import { newClientSchema } from '../../src/registry/client.ts'
import { testConfig } from '../support/gatehouse.ts'
import { hasRedisServer } from '../support/redis-binary.ts'
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
    // No setting does this yet: what several processes need besides is not there.
    const onRedis = async () => ({ ...(await testConfig(dir)), redis: { url: servers.url } })
    configs = [await onRedis(), await onRedis()]
    issuers = await Promise.all(configs.map((config) => startIssuer(config, around)))
  })
  afterAll(async () => {
    await Promise.all(issuers.map((issuer) => issuer.close(0)))
    await servers.stop()
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

  test('have one tenant default, whoever made it', async () => {
    const page = await issuers[0]?.registry.tenants.list({ limit: 10 })
    expect(page?.items.map(({ tenant_id: id }) => id)).toEqual(['default'])
  })

  test('an issuer without its Redis says so instead of starting', async () => {
    const config = { ...(await testConfig(dir)), redis: { url: 'redis://127.0.0.1:1' } }
    await expect(startIssuer(config, around)).rejects.toThrow(ConfigError)
  })
})
