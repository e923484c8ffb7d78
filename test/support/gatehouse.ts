import { randomBytes } from 'node:crypto'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { startIssuer } from '../../src/cli/start-issuer.ts'
import { startProxy } from '../../src/cli/start-proxy.ts'
import { freePorts } from '../../src/cli/free-ports.ts'
import { loadConfig } from '../../src/config/load.ts'
import type { Config } from '../../src/config/schema.ts'
import { systemClock } from '../../src/kernel/clock.ts'
import { createLog } from '../../src/kernel/log.ts'
import { newClientSchema, type NewClientRequest } from '../../src/registry/client.ts'
import type { Registry } from '../../src/registry/registry.ts'
import type { Store } from '../../src/store/store.ts'
import { newTenantSchema } from '../../src/registry/tenant.ts'
import { createMemoryFolder } from './memory-folder.ts'

export type Gatehouse = {
  config: Config
  dir: string
  /** Every line that was logged so far, parsed. */
  logged: Record<string, unknown>[]
  registry: Registry
  store: Store
  /** Makes its tenant, too, unless that is there. */
  createClient: (request?: NewClientRequest) => Promise<{ clientId: string; clientSecret: string }>
  /** An access token of a fresh client. */
  issueToken: (parameters?: Record<string, string>, client?: NewClientRequest) => Promise<string>
  requestToken: (
    client: { clientId: string; clientSecret: string },
    parameters?: Record<string, string>,
  ) => Promise<Response>
  close: () => Promise<void>
}

/** A whole configuration on free ports in a folder of its own. */
export async function testConfig(dir: string, set: readonly string[] = []): Promise<Config> {
  const [issuer, issuerOps, proxy, proxyOps, admin] = await freePorts(5)
  const result = loadConfig({
    env: {},
    set: [
      `dataDir=${join(dir, 'data')}`,
      `keys.dir=${join(dir, 'keys')}`,
      `issuer.url=http://localhost:${issuer}`,
      `issuer.listen=127.0.0.1:${issuer}`,
      `issuer.opsListen=127.0.0.1:${issuerOps}`,
      `admin.listen=127.0.0.1:${admin}`,
      `proxy.url=http://localhost:${proxy}`,
      `proxy.listen=127.0.0.1:${proxy}`,
      `proxy.opsListen=127.0.0.1:${proxyOps}`,
      // A model server that a test controls answers what the test asks, and nothing else.
      'proxy.healthCheck.intervalSeconds=0',
      ...set,
    ],
  })
  if (result.problems !== undefined) throw new Error(result.problems.join('\n'))
  return result.config
}

/** The settings of an issuer on that Redis, with a key of its own for what signs. */
export const settingsOnRedis = (redisUrl: string): string[] => [
  `redis.url=${redisUrl}`,
  `keys.encryptionKey=${randomBytes(32).toString('base64')}`,
]

/** An issuer and a proxy as operators run them, in front of that model server. */
export async function startGatehouse(
  upstreamUrl: string,
  set: readonly string[] = [],
): Promise<Gatehouse> {
  const dir = await createMemoryFolder()
  const config = await testConfig(dir, [`proxy.upstreams=${upstreamUrl}`, ...set])
  const logged: Record<string, unknown>[] = []
  const log = createLog('debug', {
    write: (line) => void logged.push(JSON.parse(line()) as Record<string, unknown>),
  })
  const surroundings = { log, clock: systemClock }
  const issuer = await startIssuer(config, surroundings)
  const proxy = await startProxy(config, surroundings, issuer)
  const { registry, store } = issuer

  const gatehouse: Gatehouse = {
    config,
    dir,
    logged,
    registry,
    store,
    async createClient(request = {}) {
      const wanted = newClientSchema.parse(request)
      const { tenant_id } = wanted
      if ((await registry.tenants.get(tenant_id)) === undefined) {
        await registry.tenants.create(newTenantSchema.parse({ tenant_id }))
      }
      const { client, clientSecret = '' } = await registry.clients.create(wanted)
      return { clientId: client.client_id, clientSecret }
    },
    requestToken({ clientId, clientSecret }, parameters = {}) {
      const basic = Buffer.from(`${clientId}:${clientSecret}`).toString('base64')
      return fetch(`${config.issuer.url}/token`, {
        method: 'POST',
        headers: { authorization: `Basic ${basic}` },
        body: new URLSearchParams({ grant_type: 'client_credentials', ...parameters }),
      })
    },
    async issueToken(parameters, client) {
      const response = await gatehouse.requestToken(
        await gatehouse.createClient(client),
        parameters,
      )
      const body = (await response.json()) as { access_token?: string }
      if (body.access_token === undefined) throw new Error(`no token: ${JSON.stringify(body)}`)
      return body.access_token
    },
    async close() {
      await Promise.all([proxy.close(0), issuer.close(0)])
      await rm(dir, { recursive: true })
    },
  }
  return gatehouse
}
