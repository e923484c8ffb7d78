import type { AuditTrail } from '../audit/trail.ts'
import { createAdminApp } from '../admin/app.ts'
import type { Config } from '../config/schema.ts'
import { startHttpServer, type HttpServer } from '../kernel/http-server.ts'
import type { RingSource } from '../keys/ring-source.ts'
import type { SigningKeys } from '../keys/signing-keys.ts'
import type { SecretWatch } from '../registry/watch-secrets.ts'
import type { LiveRevocations } from '../revocations/live-revocations.ts'
import { createRevocationGuard } from '../revocations/revocation-guard.ts'
import { auditArchiveOf, usageSourceOf } from './open-audit.ts'
import { blockListOf, type Listener } from './listener.ts'
import type { OpenRegistry } from './open-registry.ts'
import type { Surroundings } from './running.ts'
import { resourcesOf } from './token-resources.ts'

type AdminParts = Pick<OpenRegistry, 'registry' | 'store'> & {
  ring: RingSource
  revocations: LiveRevocations
  signingKeys: SigningKeys
  audit: AuditTrail
  listener: Listener
  expiring: SecretWatch['expiring']
}

/** The operators' API, in the process of the issuer: it works on the same registry. */
export async function startAdmin(
  config: Config,
  { registry, store, ring, revocations, signingKeys, audit, listener, expiring }: AdminParts,
  { log, clock }: Surroundings,
): Promise<HttpServer> {
  const { issuer, proxy, trustedProxies } = config
  const resources = resourcesOf(config)
  const callback = createAdminApp({
    issuer: issuer.url,
    proxy,
    registry,
    store,
    ring: ring.current,
    signingKeys,
    audit,
    expiring,
    archive: auditArchiveOf(config, store),
    usageSource: usageSourceOf(config, store),
    revocations: createRevocationGuard(revocations, { ...config.revocations, log }),
    resources: Object.keys(resources),
    scopes: Object.values(resources).flatMap(({ scopes }) => scopes),
    clock,
    log,
    trustedProxies: blockListOf(trustedProxies),
    isSecure: listener.tls !== undefined || listener.servesPlain !== true,
  }).callback()
  return startHttpServer({
    name: 'admin.listen',
    handle: (req, res) => void callback(req, res),
    log,
    requestTimeoutSeconds: 30,
    ...listener,
  })
}
