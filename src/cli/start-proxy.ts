import type { Registry } from 'prom-client'
import { watchAudit } from '../audit/metrics.ts'
import type { Config } from '../config/schema.ts'
import { showVersion } from '../kernel/build-info.ts'
import { startHttpServer } from '../kernel/http-server.ts'
import { parseListenAddress } from '../kernel/listen-address.ts'
import { createMetricsRegistry } from '../kernel/metrics.ts'
import { startOpsServer, type ReadinessChecks } from '../kernel/ops-server.ts'
import { createAdmission } from '../proxy/admission.ts'
import { createAuthenticator, type Caller } from '../proxy/authenticate.ts'
import { createCors } from '../proxy/cors.ts'
import { createProxyMetrics } from '../proxy/metrics.ts'
import { createProxy, type Routing } from '../proxy/proxy.ts'
import { createUpstreams } from '../proxy/upstreams.ts'
import { onRevokedKey } from '../revocations/revoked-keys.ts'
import { keepJwks } from '../tokens/kept-jwks.ts'
import { createRemoteJwks } from '../tokens/remote-jwks.ts'
import { createVerifiedTokenCache } from '../tokens/verified-token-cache.ts'
import { createTokenVerifier } from '../tokens/verify.ts'
import { createYoungCollection } from './garbage.ts'
import { modelServersOf } from './model-servers.ts'
import { openAudit } from './open-audit.ts'
import { certificateChecks, watchCertificates } from './certificate-metrics.ts'
import { openCertificates } from './live-certificates.ts'
import { blockListOf } from './listener.ts'
import { openTracing } from './open-tracing.ts'
import { ownVersion } from './own-version.ts'
import { openProxyCache } from './proxy-cache.ts'
import { loadProxyClient, proxyTokensOf } from './proxy-client.ts'
import { openProxyLimits } from './proxy-limits.ts'
import { reportToOperators } from './proxy-reports.ts'
import { openProxyRevocations, type InProcessIssuer } from './proxy-revocations.ts'
import { openProxySenders } from './proxy-senders.ts'
import type { Running, Surroundings } from './running.ts'
import { createDraining, OPS_DRAIN_SECONDS } from './draining.ts'
import { showWorkers } from './worker-metrics.ts'

/** `inProcess` is the issuer, where it is in the same process. */
export async function startProxy(
  config: Config,
  { log, clock }: Surroundings,
  inProcess?: InProcessIssuer,
): Promise<Running> {
  const proxy = await openProxy(config, { log, clock }, { inProcess })
  showWorkers(proxy.registry, () => 1, 1)
  const draining = createDraining()
  const ops = await startOpsServer({
    name: 'proxy.opsListen',
    listen: parseListenAddress(config.proxy.opsListen),
    registry: proxy.registry,
    readiness: { serving: draining.readiness, ...proxy.readiness },
    log,
  })
  return {
    ...proxy,
    async close(drainSeconds) {
      draining.begin()
      await proxy.close(drainSeconds)
      await ops.drain(OPS_DRAIN_SECONDS)
    },
  }
}

/** A proxy that serves, and what its operators may ask about it. */
export type OpenProxy = Running & { registry: Registry; readiness: ReadinessChecks }

/** `worker` is its number among the processes that are one proxy. */
export async function openProxy(
  config: Config,
  { log, clock }: Surroundings,
  { inProcess, worker }: { inProcess?: InProcessIssuer | undefined; worker?: number },
): Promise<OpenProxy> {
  const { issuer, proxy } = config
  const certificates = openCertificates({ config, role: 'proxy', log, clock })
  const client = await loadProxyClient(config)
  const tokens = client && proxyTokensOf(client, config, { clock })
  // With the issuer in the same process there is nothing to outlive.
  const cache = inProcess === undefined ? await openProxyCache(config, client, log) : undefined
  const revocations = await openProxyRevocations(
    config,
    { log, clock },
    { inProcess, tokens, file: cache?.revocations },
  )
  const registry = createMetricsRegistry()
  showVersion(registry, ownVersion())
  watchCertificates(registry, [certificates], clock)
  const jwks = createRemoteJwks({
    issuer: issuer.url,
    jwksUrl: proxy.jwksUrl,
    cooldownSeconds: proxy.jwks.cooldownSeconds,
    maxStaleSeconds: proxy.jwks.maxStaleSeconds,
    reliableSinceMs: () => revocations.live?.missedUntilMs() ?? -Infinity,
    clock,
    log,
  })
  const verify = createTokenVerifier(
    jwks,
    {
      issuer: issuer.url,
      audiences: [proxy.url],
      clockSkewSeconds: proxy.clockSkewSeconds,
      senderConstrained: 'checked_by_caller',
    },
    clock,
  )
  const senders = await openProxySenders(config, { log, clock })
  const keptJwks = cache && (await keepJwks(cache.jwks, jwks, { log, clock }))
  if (revocations.live !== undefined) onRevokedKey(revocations.live, jwks.drop)
  const audit = await openAudit(config, 'proxy', { log, clock })
  watchAudit(registry, audit)
  const tracing = await openTracing(config, 'proxy', log)
  const upstreams = createUpstreams({ ...proxy, servers: modelServersOf(config), log })
  const verified = createVerifiedTokenCache<Caller>(clock)
  const metrics = createProxyMetrics(registry, {
    jwks,
    upstreams,
    waiting: () => admission.waiting(),
    revocations: revocations.guard,
    verified,
  })
  const admission = createAdmission({
    upstreams,
    ...proxy.queue,
    clockSkewSeconds: proxy.clockSkewSeconds,
    clock,
    observeWait: metrics.observeWait,
  })
  const counting = await openProxyLimits(config, { log, clock }, registry)
  const { limits } = counting
  const verifying = createProxy({
    url: proxy.url,
    issuer: issuer.url,
    ...routingOf(config),
    authenticate: createAuthenticator({
      verify,
      requireRightSender: senders.requireRightSender,
      keys: jwks,
      verified,
    }),
    trustedProxies: blockListOf(config.trustedProxies),
    seesCertificates: proxy.tls.clientCa !== undefined || config.trustedProxies.length > 0,
    revocations: revocations.guard,
    limits,
    upstreams,
    forwardAuth: proxy.forwardAuth,
    collectYoungGarbage: createYoungCollection(),
    cors: proxy.cors.origins.length > 0 ? createCors(proxy.cors.origins) : undefined,
    admission,
    metrics,
    audit,
    tracer: tracing?.tracer,
    log,
  })
  const server = await startHttpServer({
    name: 'proxy.listen',
    handle: verifying.handle,
    log,
    sendsContinue: 'handler',
    idleTimeoutSeconds: proxy.idleTimeoutSeconds,
    ...certificates.listener,
  })
  certificates.show(server)
  const readiness = {
    keys: jwks.readiness,
    revocations: revocations.guard.readiness,
    upstreams: upstreams.readiness,
    limits: counting.readiness,
    audit: audit.readiness,
    ...certificateChecks([certificates]),
  }
  const { live, store } = revocations
  const reports = reportToOperators(
    config,
    { log, clock },
    { jwks, live, store, tokens, readiness, upstreams, worker },
  )
  jwks.refreshIfDue()
  const refresh = setInterval(() => {
    jwks.refreshIfDue()
    revocations.guard.watch()
  }, 1000)
  return {
    registry,
    readiness,
    prepareReload(next) {
      const takeCertificates = certificates.prepare(next)
      return () => {
        takeCertificates()
        verifying.setRouting(routingOf(next))
        counting.reload(next.limits)
      }
    },
    async close(drainSeconds) {
      clearInterval(refresh)
      reports.stop()
      certificates.stop()
      await server.drain(drainSeconds)
      await verifying.settled()
      await tracing?.close()
      await counting.close()
      upstreams.close()
      await audit.close()
      await revocations.close()
      await keptJwks?.close()
      await senders.close()
    },
  }
}

/** Each route with what it takes from the settings of all. Whoever shows no token sends nothing but the question. */
const routingOf = ({ proxy }: Config): Routing => ({
  routes: proxy.routes.map((route) => ({
    method: route.method,
    path: route.path,
    scopes: route.scopes,
    maxBodyBytes: route.maxBodyBytes ?? (route.scopes === undefined ? 0 : proxy.maxBodyBytes),
    firstByteMs: (route.firstByteTimeoutSeconds ?? proxy.firstByteTimeoutSeconds) * 1000,
    idleMs: (route.idleTimeoutSeconds ?? proxy.idleTimeoutSeconds) * 1000,
  })),
})
