import { createAuditedLog } from '../audit/audited-log.ts'
import { watchAudit } from '../audit/metrics.ts'
import type { Config } from '../config/schema.ts'
import { createIssuerApp } from '../issuer/app.ts'
import { createClientJwksFetch } from '../issuer/client-jwks.ts'
import { createIssuerMetrics } from '../issuer/metrics.ts'
import { watchKeys } from '../issuer/key-metrics.ts'
import { createLiveProvider } from '../issuer/live-provider.ts'
import { mutualTls } from '../issuer/mutual-tls.ts'
import { createProvider } from '../issuer/provider.ts'
import { createRequestTraces } from '../issuer/trace-requests.ts'
import { showVersion } from '../kernel/build-info.ts'
import { startHttpServer } from '../kernel/http-server.ts'
import { isLoopbackHost, parseListenAddress } from '../kernel/listen-address.ts'
import { createMetricsRegistry } from '../kernel/metrics.ts'
import { startOpsServer, type ReadinessChecks } from '../kernel/ops-server.ts'
import { scheduleSweep } from '../keys/home-sweep.ts'
import { requireKeysAtHand } from '../keys/key-home.ts'
import { scheduleRotation } from '../keys/key-rotation.ts'
import { openLiveRing } from '../keys/live-ring.ts'
import { watchSigning } from '../keys/signing-check.ts'
import { createSigningKeys } from '../keys/signing-keys.ts'
import { createGuessLimits } from '../registry/guess-limits.ts'
import { watchHashPool } from '../registry/metrics.ts'
import type { Registry } from '../registry/registry.ts'
import { watchSecrets } from '../registry/watch-secrets.ts'
import { followRevocations } from '../revocations/follow-store.ts'
import { watchRevocations } from '../revocations/metrics.ts'
import { createRevocationGuard } from '../revocations/revocation-guard.ts'
import type { LiveRevocations } from '../revocations/live-revocations.ts'
import { saveInstance } from '../store/instances.ts'
import type { Store } from '../store/store.ts'
import { REVOCATIONS } from '../revocations/revocation.ts'
import { ensureAdminClient } from './admin-bootstrap.ts'
import { ensureTerminalClient } from './terminal-client.ts'
import { openAudit } from './open-audit.ts'
import { watchStore } from './watch-store.ts'
import { certificateChecks, watchCertificates } from './certificate-metrics.ts'
import { openCertificates } from './live-certificates.ts'
import { blockListOf } from './listener.ts'
import { createDraining, OPS_DRAIN_SECONDS } from './draining.ts'
import { reportAsInstance } from './instance-reports.ts'
import { keyMakerOf, openKeyHome } from './open-key-home.ts'
import { openKeys } from './open-keys.ts'
import { openRegistry } from './open-registry.ts'
import { openTracing } from './open-tracing.ts'
import { ownVersion } from './own-version.ts'
import { createOwnEndpoints } from './own-endpoints.ts'
import { runningOf, type Running, type Surroundings } from './running.ts'
import { resourcesOf } from './token-resources.ts'
import { startAdmin } from './start-admin.ts'

const SECONDS_PER_DAY = 86_400

/** The issuer, the registry that it works with, and what it knows of revocations. */
export type RunningIssuer = Running & {
  registry: Registry
  revocations: LiveRevocations
  store: Store
}

/** Leaves nothing open behind, when it cannot start and when it is closed: what was begun last ends first. */
export async function startIssuer(
  config: Config,
  { log, clock }: Surroundings,
): Promise<RunningIssuer> {
  const { issuer, proxy, keys, tokens } = config
  const metrics = createMetricsRegistry()
  await using begun = new AsyncDisposableStack()
  const certificates = openCertificates({ config, role: 'issuer', log, clock })
  const adminCertificates = openCertificates({ config, role: 'admin', log, clock })
  const watched = [certificates, adminCertificates]
  begun.defer(() => watched.forEach(({ stop }) => stop()))
  watchCertificates(metrics, watched, clock)
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
  const tracing = await openTracing(config, 'issuer', log)
  begun.defer(async () => tracing?.close())
  const traces = tracing && createRequestTraces(tracing.tracer)
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
      clientCa: certificates.clientCa,
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
    annotate: traces?.annotate,
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
    traces,
    ring,
    jwksMaxAgeSeconds: keys.jwksMaxAgeSeconds,
    log: auditedLog,
    trustedProxies: blockListOf(config.trustedProxies),
    ownRoutes: own.routes,
  })
  const storeCheck = watchStore(store, metrics)
  begun.defer(storeCheck.stop)
  const signing = watchSigning(ring, keyHome)
  begun.defer(signing.stop)
  const secretWatch = watchSecrets({ clients: registry.clients, registry: metrics, clock, log })
  begun.defer(secretWatch.stop)
  showVersion(metrics, ownVersion())
  watchHashPool(metrics, kept.pool)
  watchRevocations(metrics, { lagSeconds: revocations.stalenessSeconds })
  const callback = app.callback()
  const server = await startHttpServer({
    name: 'issuer.listen',
    handle: (req, res) => void callback(req, res),
    log,
    requestTimeoutSeconds: 30,
    ...certificates.listener,
  })
  certificates.show(server)
  begun.defer(() => server.drain(0))
  const draining = createDraining()
  const readiness: ReadinessChecks = {
    keys: signing.read,
    store: storeCheck.read,
    revocations: createRevocationGuard(revocations, { ...config.revocations, log }).readiness,
    audit: audit.readiness,
    ...certificateChecks(watched),
  }
  const ops = await startOpsServer({
    name: 'issuer.opsListen',
    listen: parseListenAddress(issuer.opsListen),
    registry: metrics,
    readiness: { serving: draining.readiness, ...readiness },
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
  const { listener } = adminCertificates
  const { expiring } = secretWatch
  const parts = { ...kept, ring, revocations, signingKeys, audit, listener, expiring }
  const admin = await startAdmin(config, parts, { log: auditedLog, clock })
  begun.defer(() => admin.drain(0))
  adminCertificates.show(admin)
  watchKeys(metrics, {
    ring: ring.current,
    clock,
    rotateEverySeconds: keys.rotateEveryDays * SECONDS_PER_DAY,
  })
  begun.defer(scheduleRotation({ tick: signingKeys.tick, log }))
  if (keyHome !== undefined) {
    begun.defer(scheduleSweep({ home: keyHome, loadRing: opened.ring.load, clock, log }))
  }
  const running = runningOf([server, admin])
  const reports = reportAsInstance(
    {
      role: 'issuer',
      listen: issuer.listen,
      readiness,
      send: (report) => saveInstance(store, report, { clientId: null, clock }),
    },
    { log, clock },
  )
  const all = begun.move()
  return {
    registry,
    revocations,
    store,
    prepareReload(next) {
      const takes = watched.map(({ prepare }) => prepare(next))
      return () => takes.forEach((take) => take())
    },
    async close(drainSeconds) {
      draining.begin()
      reports.stop()
      // Its streams would last as long as they may.
      own.close()
      await running.close(drainSeconds)
      await ops.drain(OPS_DRAIN_SECONDS)
      await all.disposeAsync()
    },
  }
}
