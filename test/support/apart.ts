import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Running } from '../../src/cli/running.ts'
import { startIssuer, type RunningIssuer } from '../../src/cli/start-issuer.ts'
import { startProxy } from '../../src/cli/start-proxy.ts'
import { loadProxyClient, proxyTokensOf } from '../../src/cli/proxy-client.ts'
import type { Config } from '../../src/config/schema.ts'
import { createLog } from '../../src/kernel/log.ts'
import { loadOrCreateClientKey, publicClientKey } from '../../src/keys/client-key-file.ts'
import { newClientSchema } from '../../src/registry/client.ts'
import { testConfig } from './gatehouse.ts'
import { startModelServer, type ModelServer } from './model-server.ts'
import { createMemoryFolder } from './memory-folder.ts'

export type Apart = {
  dir: string
  config: Config
  model: ModelServer
  /** What the clock of both says, in milliseconds; a test moves it. */
  time: { now: number }
  logged: Record<string, unknown>[]
  issuer: () => RunningIssuer
  startIssuer: () => Promise<void>
  stopIssuer: () => Promise<void>
  startProxy: (set?: (config: Config) => Config) => Promise<void>
  stopProxy: () => Promise<void>
  /** A token of a new client. */
  issueToken: (clientId: string) => Promise<string>
  /** A token of the proxy's own client. */
  feedToken: () => Promise<string>
  /** The status of a call with it. */
  statusOf: (token: string) => Promise<number>
  close: () => Promise<void>
}

/** An issuer and a proxy that share neither a process nor a disk: the proxy has a client of its own, `proxy-1`. */
export async function startApart(set: readonly string[] = []): Promise<Apart> {
  const dir = await createMemoryFolder()
  const time = { now: Date.now() }
  const startedAtMs = Date.now()
  const clock = () => time.now + (Date.now() - startedAtMs)
  const model = await startModelServer()
  const clientKeyFile = join(dir, 'proxy-1.jwk')
  const config = await testConfig(dir, [
    `proxy.upstreams=${model.url}`,
    'proxy.clientId=proxy-1',
    `proxy.clientKeyFile=${clientKeyFile}`,
    ...set,
  ])
  const proxyConfig: Config = { ...config, dataDir: join(dir, 'proxy-data') }
  const logged: Record<string, unknown>[] = []
  const log = createLog('debug', {
    write: (line) => void logged.push(JSON.parse(line()) as Record<string, unknown>),
  })
  let issuer: RunningIssuer | undefined
  let proxy: Running | undefined

  const apart: Apart = {
    dir,
    config: proxyConfig,
    model,
    time,
    logged,
    issuer() {
      if (issuer === undefined) throw new Error('the issuer is stopped')
      return issuer
    },
    async startIssuer() {
      issuer = await startIssuer(config, { log, clock })
    },
    async stopIssuer() {
      await issuer?.close(0)
      issuer = undefined
    },
    async startProxy(change = (same) => same) {
      proxy = await startProxy(change(proxyConfig), { log, clock })
    },
    async stopProxy() {
      await proxy?.close(0)
      proxy = undefined
    },
    async issueToken(clientId) {
      const { clientSecret = '' } = await apart
        .issuer()
        .registry.clients.create(newClientSchema.parse({ client_id: clientId }))
      const response = await fetch(`${config.issuer.url}/token`, {
        method: 'POST',
        headers: {
          authorization: `Basic ${Buffer.from(`${clientId}:${clientSecret}`).toString('base64')}`,
        },
        body: new URLSearchParams({ grant_type: 'client_credentials' }),
      })
      return ((await response.json()) as { access_token: string }).access_token
    },
    async feedToken() {
      const client = await loadProxyClient(config)
      if (client === undefined) throw new Error('the proxy has no client')
      return (await proxyTokensOf(client, config, { clock }).get()).value
    },
    async statusOf(token) {
      const response = await fetch(`${config.proxy.url}/v1/chat/completions`, {
        method: 'POST',
        body: '{}',
        headers: { authorization: `Bearer ${token}` },
      })
      await response.arrayBuffer()
      return response.status
    },
    async close() {
      await apart.stopProxy()
      await apart.stopIssuer()
      await model.close()
      await rm(dir, { recursive: true })
    },
  }
  await apart.startIssuer()
  await apart.issuer().registry.clients.create(
    newClientSchema.parse({
      client_id: 'proxy-1',
      scope: 'revocations:read',
      token_endpoint_auth_method: 'private_key_jwt',
      jwks: { keys: [publicClientKey(await loadOrCreateClientKey(clientKeyFile))] },
    }),
  )
  return apart
}
