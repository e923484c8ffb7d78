import { createAuditedLog } from '../audit/audited-log.ts'
import { watchAudit } from '../audit/metrics.ts'
import type { AuditTrail } from '../audit/trail.ts'
import { ADMIN_SCOPES, adminResourceOf } from '../admin/admin-scopes.ts'
import { createAdminApp } from '../admin/app.ts'
import type { Config } from '../config/schema.ts'
import { createIssuerApp } from '../issuer/app.ts'
import { createClientJwksFetch } from '../issuer/client-jwks.ts'
import { createIssuerMetrics } from '../issuer/metrics.ts'
import { watchKeys } from '../issuer/key-metrics.ts'
import { createLiveProvider } from '../issuer/live-provider.ts'
import { mutualTls } from '../issuer/mutual-tls.ts'
import { createProvider } from '../issuer/provider.ts'
import type { Resources } from '../issuer/resources.ts'
import { REVOCATIONS_SCOPE } from '../issuer/revocation-feed.ts'
import type { Clock } from '../kernel/clock.ts'
import { startHttpServer, type HttpServer } from '../kernel/http-server.ts'
import { isLoopbackHost, parseListenAddress } from '../kernel/listen-address.ts'
import type { Log } from '../kernel/log.ts'
import { createMetricsRegistry } from '../kernel/metrics.ts'
import { startOpsServer, type CheckResult } from '../kernel/ops-server.ts'
import { scheduleSweep } from '../keys/home-sweep.ts'
import { requireKeysAtHand } from '../keys/key-home.ts'
import { scheduleRotation } from '../keys/key-rotation.ts'
import { openLiveRing } from '../keys/live-ring.ts'
import type { RingSource } from '../keys/ring-source.ts'
import { createSigningKeys, type SigningKeys } from '../keys/signing-keys.ts'
import { createAuthenticator } from '../proxy/authenticate.ts'
import { createProxyMetrics } from '../proxy/metrics.ts'
import { createProxy } from '../proxy/proxy.ts'
import { createUpstreams } from '../proxy/upstreams.ts'
import { createGuessLimits } from '../registry/guess-limits.ts'
import type { Registry } from '../registry/registry.ts'
import { followRevocations } from '../revocations/follow-store.ts'
import type { LiveRevocations } from '../revocations/live-revocations.ts'
import { createRevocationGuard } from '../revocations/revocation-guard.ts'
import type { Store } from '../store/store.ts'
import { onRevokedKey } from '../revocations/revoked-keys.ts'
import { REVOCATIONS } from '../revocations/revocation.ts'
import { OCR_SCOPE } from '../tokens/access-token.ts'
import { keepJwks } from '../tokens/kept-jwks.ts'
import { createRemoteJwks } from '../tokens/remote-jwks.ts'
import { createTokenVerifier } from '../tokens/verify.ts'
import { ensureAdminClient } from './admin-bootstrap.ts'
import { ensureTerminalClient } from './terminal-client.ts'
import { auditArchiveOf, openAudit } from './open-audit.ts'
import { watchStore } from './watch-store.ts'
import { blockListOf, clientCaOf, listenerOf } from './listener.ts'
import { keyMakerOf, openKeyHome } from './open-key-home.ts'
import { openKeys } from './open-keys.ts'
import { openRegistry, type OpenRegistry } from './open-registry.ts'
import { openProxyCache } from './proxy-cache.ts'
import { loadProxyClient, proxyTokensOf } from './proxy-client.ts'
import { createOwnEndpoints } from './own-endpoints.ts'
import { reportAsVerifier } from './proxy-reports.ts'
import { openProxyRevocations, type InProcessIssuer } from './proxy-revocations.ts'
import { openProxySenders } from './proxy-senders.ts'

const SECONDS_PER_DAY = 86_400

/** A role that serves; closing it lets running requests finish. */
export type Running = { close: (drainSeconds: number) => Promise<void> }

export type Surroundings = { log: Log; clock: Clock }

/** What tokens can be for, and with which scopes. */
function resourcesOf({ resources, proxy, issuer }: Config): Resources {
  const served: Resources = resources ?? { [proxy.url]: { scopes: [OCR_SCOPE] } }
  // Behind one terminator the issuer and the proxy may have one address.
  const atIssuer = served[issuer.url]?.scopes ?? []
  return {
    ...served,
    [adminResourceOf(issuer.url)]: { scopes: ADMIN_SCOPES },
    [issuer.url]: { scopes: [...atIssuer, REVOCATIONS_SCOPE] },
  }
}

/** The issuer, the registry that it works with, and what it knows of revocations. */
export type RunningIssuer = Running & {
  registry: Registry
  revocations: LiveRevocations
  store: Store
}

/** Leaves nothing open behind when it cannot start. */
export async function startIssuer(
  config: Config,
  { log, clock }: Surroundings,
): Promise<RunningIssuer> {
  const { issuer, proxy, keys, tokens } = config
  const metrics = createMetricsRegistry()
  await using begun = new AsyncDisposableStack()
  const keyHome = await openKeyHome(config, { log, clock })
  begun.defer(async () => keyHome?.close())
  const makeKey = keyMakerOf(config, keyHome)
  const kept = await openRegistry(config, { log, clock })
  const { registry, store, close: closeRegistry } = kept
  begun.defer(closeRegistry)
  const opened = await openKeys(config, store, { log, clock, makeKey })
  const { secrets } = opened
  const ring = await openLiveRing(opened.ring, log)
  begun.defer(ring.close)
  await requireKeysAtHand(ring.current(), keyHome)
  const revocations = followRevocations(store, { clock, log })
  begun.defer(revocations.close)
  await ensureAdminClient(config, { clients: registry.clients, log })
  await ensureTerminalClient(registry.clients, log)
  // Redis answers when it can; until then the guard holds.
  if (config.redis.url === undefined) await revocations.caughtUp
  const audit = await openAudit(config, 'issuer', { log, clock })
  begun.defer(audit.close)
  watchAudit(metrics, audit)
  const auditedLog = createAuditedLog(log, audit)
  const audiences = Object.keys(resourcesOf(config))
  const own = createOwnEndpoints(
    config,
    { ring, revocations, registry, store, secrets, audiences },
    { log, clock },
  )
  const providerOptions = {
    keyHome,
    issuer: issuer.url,
    secrets,
    clients: registry.clients,
    users: registry.users,
    codeGuesses: createGuessLimits(clock, issuer.clientAuth.maxFailuresPerMinute),
    store,
    clock,
    resources: resourcesOf(config),
    defaultResource: proxy.url,
    accessTokenTtlSeconds: tokens.accessTtlSeconds,
    ownTokens: own.ownTokens,
    mutualTls: mutualTls({
      trustedProxies: blockListOf(config.trustedProxies),
      clientCa: clientCaOf(config, 'issuer'),
      clock,
    }),
    fetchClientJwks: createClientJwksFetch({
      allowsLoopback: isLoopbackHost(new URL(issuer.url).hostname),
      clock,
      log,
    }),
    refreshTokenTtlSeconds: tokens.refreshTtlSeconds,
    log: auditedLog,
    metrics: createIssuerMetrics(metrics),
  }
  const provider = await createLiveProvider({
    ring,
    build: (current) => createProvider(current, providerOptions),
    log,
  })
  begun.defer(provider.close)
  const app = createIssuerApp({
    issuer: issuer.url,
    audit,
    provider,
    registry,
    store,
    formKey: secrets.formKey,
    defaultResource: proxy.url,
    metrics: providerOptions.metrics,
    ring,
    jwksMaxAgeSeconds: keys.jwksMaxAgeSeconds,
    log: auditedLog,
    trustedProxies: blockListOf(config.trustedProxies),
    ownRoutes: own.routes,
  })
  const storeCheck = watchStore(store)
  begun.defer(storeCheck.stop)
  const callback = app.callback()
  const server = await startHttpServer({
    name: 'issuer.listen',
    handle: (req, res) => void callback(req, res),
    log,
    requestTimeoutSeconds: 30,
    ...listenerOf(config, 'issuer'),
  })
  begun.defer(() => server.drain(0))
  const ops = await startOpsServer({
    name: 'issuer.opsListen',
    listen: parseListenAddress(issuer.opsListen),
    registry: metrics,
    readiness: {
      keys: (): CheckResult =>
        ring.isReadable()
          ? { status: 'ok' }
          : { status: 'unavailable', detail: 'the key ring cannot be read' },
      store: storeCheck.read,
      audit: audit.readiness,
    },
    log,
  })
  begun.defer(() => ops.drain(0))
  const signingKeys = createSigningKeys({
    ...opened,
    store,
    live: ring,
    revocations,
    policy: {
      jwksMaxAgeSeconds: keys.jwksMaxAgeSeconds,
      // Whatever lifetime was configured when a token was signed.
      tokenLifetimeSeconds: REVOCATIONS.retentionSeconds,
      rotateEverySeconds: keys.rotateEveryDays * SECONDS_PER_DAY,
    },
    makeKey,
    clock,
    log,
  })
  const parts = { ...kept, ring, revocations, signingKeys, audit }
  const admin = await startAdmin(config, parts, { log: auditedLog, clock })
  begun.defer(() => admin.drain(0))
  watchKeys(metrics, { ring: ring.current, clock })
  const stopRotation = scheduleRotation({ tick: signingKeys.tick, log })
  const stopSweep =
    keyHome && scheduleSweep({ home: keyHome, loadRing: opened.ring.load, clock, log })
  const running = runningOf([server, ops, admin])
  begun.move()
  return {
    registry,
    revocations,
    store,
    async close(drainSeconds) {
      own.close()
      await running.close(drainSeconds)
      storeCheck.stop()
      stopRotation()
      stopSweep?.()
      provider.close()
      ring.close()
      revocations.close()
      await audit.close()
      await closeRegistry()
    },
  }
}

type AdminParts = Pick<OpenRegistry, 'registry' | 'store'> & {
  ring: RingSource
  revocations: LiveRevocations
  signingKeys: SigningKeys
  audit: AuditTrail
}

/** The operators' API, in the process of the issuer: it works on the same registry. */
async function startAdmin(
  config: Config,
  { registry, store, ring, revocations, signingKeys, audit }: AdminParts,
  { log, clock }: Surroundings,
): Promise<HttpServer> {
  const { issuer, trustedProxies } = config
  const listener = listenerOf(config, 'admin')
  const callback = createAdminApp({
    issuer: issuer.url,
    registry,
    store,
    ring: ring.current,
    signingKeys,
    audit,
    archive: auditArchiveOf(config, store),
    revocations: createRevocationGuard(revocations, { ...config.revocations, log }),
    scopes: Object.values(resourcesOf(config)).flatMap(({ scopes }) => scopes),
    clock,
    log,
    trustedProxies: blockListOf(trustedProxies),
    isSecure: listener.tls !== undefined || listener.terminators !== undefined,
  }).callback()
  return startHttpServer({
    name: 'admin.listen',
    handle: (req, res) => void callback(req, res),
    log,
    requestTimeoutSeconds: 30,
    ...listener,
  })
}

/** `inProcess` is the issuer, where it is in the same process. */
export async function startProxy(
  config: Config,
  { log, clock }: Surroundings,
  inProcess?: InProcessIssuer,
): Promise<Running> {
  const { issuer, proxy } = config
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
      audience: proxy.url,
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
  const upstreams = createUpstreams({ ...proxy, urls: proxy.upstreams })
  const handle = createProxy({
    url: proxy.url,
    issuer: issuer.url,
    routes: proxy.routes.map(({ method, path, scopes }) => ({ method, path, scopes })),
    maxBodyBytes: proxy.maxBodyBytes,
    idleTimeoutSeconds: proxy.idleTimeoutSeconds,
    upstreamApiKey: proxy.upstreamApiKey,
    authenticate: createAuthenticator({
      verify,
      requireRightSender: senders.requireRightSender,
      keys: jwks,
      clock,
    }),
    trustedProxies: blockListOf(config.trustedProxies),
    revocations: revocations.guard,
    upstreams,
    metrics: createProxyMetrics(registry, { jwks, upstreams, revocations: revocations.guard }),
    audit,
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
      revocations: revocations.guard.readiness,
      audit: audit.readiness,
    },
    log,
  })
  const reports = reportAsVerifier(
    config,
    { log, clock },
    { jwks, live: revocations.live, store: revocations.store, tokens },
  )
  jwks.refreshIfDue()
  const refresh = setInterval(() => {
    jwks.refreshIfDue()
    revocations.guard.watch()
  }, 1000)
  const running = runningOf([server, ops])
  return {
    async close(drainSeconds) {
      clearInterval(refresh)
      reports.stop()
      await running.close(drainSeconds)
      await upstreams.close()
      await audit.close()
      await revocations.close()
      await keptJwks?.close()
      await senders.close()
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
