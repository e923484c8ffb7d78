import { join } from 'node:path'
import type { Config } from '../config/schema.ts'
import { createIssuerApp } from '../issuer/app.ts'
import { createIssuerMetrics } from '../issuer/metrics.ts'
import { createProvider } from '../issuer/provider.ts'
import type { Resources } from '../issuer/resources.ts'
import type { Clock } from '../kernel/clock.ts'
import { startHttpServer, type HttpServer } from '../kernel/http-server.ts'
import { parseListenAddress } from '../kernel/listen-address.ts'
import type { Log } from '../kernel/log.ts'
import { createMetricsRegistry } from '../kernel/metrics.ts'
import { startOpsServer, type CheckResult } from '../kernel/ops-server.ts'
import { loadOrCreateRing } from '../keys/ring-file.ts'
import { createAuthenticator } from '../proxy/authenticate.ts'
import { createProxyMetrics } from '../proxy/metrics.ts'
import { createProxy } from '../proxy/proxy.ts'
import { createUpstreams } from '../proxy/upstreams.ts'
import { createClientFiles, type ClientRegistry } from '../registry/client-files.ts'
import { OCR_SCOPE } from '../tokens/access-token.ts'
import { createRemoteJwks } from '../tokens/remote-jwks.ts'
import { createTokenVerifier } from '../tokens/verify.ts'
import { listenerOf } from './listener.ts'

/** A role that serves; closing it lets running requests finish. */
export type Running = { close: (drainSeconds: number) => Promise<void> }

export type Surroundings = { log: Log; clock: Clock }

export function openClients({ dataDir }: Config, clock: Clock): ClientRegistry {
  return createClientFiles(join(dataDir, 'clients'), clock)
}

/** What tokens can be for, and with which scopes. */
export function resourcesOf({ resources, proxy }: Config): Resources {
  return resources ?? { [proxy.url]: { scopes: [OCR_SCOPE] } }
}

export async function startIssuer(config: Config, { log, clock }: Surroundings): Promise<Running> {
  const { issuer, proxy, keys, tokens } = config
  const registry = createMetricsRegistry()
  const ring = await loadOrCreateRing(keys.dir, { modulusLength: keys.modulusLength, clock })
  const provider = await createProvider({
    issuer: issuer.url,
    ring,
    clients: openClients(config, clock),
    resources: resourcesOf(config),
    defaultResource: proxy.url,
    accessTokenTtlSeconds: tokens.accessTtlSeconds,
  })
  const app = createIssuerApp({
    issuer: issuer.url,
    provider,
    ring,
    jwksMaxAgeSeconds: keys.jwksMaxAgeSeconds,
    metrics: createIssuerMetrics(registry),
    log,
  })
  const callback = app.callback()
  const server = await startHttpServer({
    name: 'issuer.listen',
    handle: (req, res) => void callback(req, res),
    log,
    requestTimeoutSeconds: 30,
    ...listenerOf(config, 'issuer'),
  })
  const ops = await startOpsServer({
    name: 'issuer.opsListen',
    listen: parseListenAddress(issuer.opsListen),
    registry,
    readiness: { keys: () => ({ status: 'ok' }) },
    log,
  })
  return runningOf([server, ops])
}

export async function startProxy(config: Config, { log, clock }: Surroundings): Promise<Running> {
  const { issuer, proxy } = config
  const registry = createMetricsRegistry()
  const jwks = createRemoteJwks({
    issuer: issuer.url,
    jwksUrl: proxy.jwksUrl,
    cooldownSeconds: proxy.jwks.cooldownSeconds,
    maxStaleSeconds: proxy.jwks.maxStaleSeconds,
    clock,
    log,
  })
  const verify = createTokenVerifier(
    jwks,
    { issuer: issuer.url, audience: proxy.url, clockSkewSeconds: proxy.clockSkewSeconds },
    clock,
  )
  const upstreams = createUpstreams({ ...proxy, urls: proxy.upstreams })
  const handle = createProxy({
    url: proxy.url,
    issuer: issuer.url,
    routes: proxy.routes.map(({ method, path, scopes }) => ({ method, path, scopes })),
    maxBodyBytes: proxy.maxBodyBytes,
    idleTimeoutSeconds: proxy.idleTimeoutSeconds,
    upstreamApiKey: proxy.upstreamApiKey,
    authenticate: createAuthenticator(verify, jwks, clock),
    upstreams,
    metrics: createProxyMetrics(registry, jwks, upstreams),
    log,
  })
  const server = await startHttpServer({
    name: 'proxy.listen',
    handle,
    log,
    sendsContinue: 'handler',
    ...listenerOf(config, 'proxy'),
  })
  const ops = await startOpsServer({
    name: 'proxy.opsListen',
    listen: parseListenAddress(proxy.opsListen),
    registry,
    readiness: {
      keys: (): CheckResult =>
        jwks.isUsable()
          ? { status: 'ok' }
          : { status: 'unavailable', detail: 'no signing keys yet' },
    },
    log,
  })
  jwks.refreshIfDue()
  const refresh = setInterval(jwks.refreshIfDue, 1000)
  const running = runningOf([server, ops])
  return {
    async close(drainSeconds) {
      clearInterval(refresh)
      await running.close(drainSeconds)
      await upstreams.close()
    },
  }
}

function runningOf(servers: readonly HttpServer[]): Running {
  return {
    async close(drainSeconds) {
      await Promise.all(servers.map((server) => server.drain(drainSeconds)))
    },
  }
}
