import { importJWK, SignJWT, type JWTPayload } from 'jose'
import { randomBytes } from 'node:crypto'
import { BlockList } from 'node:net'
import { ADMIN_SCOPES } from '../../src/admin/admin-scopes.ts'
import { createAdminApp } from '../../src/admin/app.ts'
import { AppError } from '../../src/kernel/errors.ts'
import { startHttpServer } from '../../src/kernel/http-server.ts'
import { openKeyRecords } from '../../src/keys/document-place.ts'
import { createKeyDocuments } from '../../src/keys/key-documents.ts'
import { openLiveRing } from '../../src/keys/live-ring.ts'
import { activeKey } from '../../src/keys/ring.ts'
import { openRingStore } from '../../src/keys/ring-store.ts'
import { sealingKeysOf } from '../../src/keys/sealing.ts'
import { createSigningKeys } from '../../src/keys/signing-keys.ts'
import { newClientSchema } from '../../src/registry/client.ts'
import { createRegistry } from '../../src/registry/create-registry.ts'
import type { Registry } from '../../src/registry/registry.ts'
import { followRevocations } from '../../src/revocations/follow-store.ts'
import { createRevocationGuard } from '../../src/revocations/revocation-guard.ts'
import { newTenantSchema } from '../../src/registry/tenant.ts'
import type { Store } from '../../src/store/store.ts'
import { createTestLog } from './log-lines.ts'
import { makeRsaKey } from './ring-keys.ts'
import { openTestSqlite } from './stores.ts'
import { goodClaims } from './test-issuer.ts'

export const ISSUER = 'https://issuer.example'
export const PROXY = 'https://ocr.example'

export type AdminServer = {
  url: string
  registry: Registry
  /** The log, line by line, as it was written. */
  lines: string[]
  /** What the server takes for the time, in milliseconds. */
  now: () => number
  travel: (seconds: number) => void
  /** As while the audit trail cannot be written. */
  loseTrail: () => void
  /** An admin token of the client `admin` with every scope, unless claims say otherwise. */
  sign: (claims?: JWTPayload) => Promise<string>
  /** Sends with such a token, and the body as JSON. */
  send: (method: string, path: string, options?: SendOptions) => Promise<Answered>
  close: () => Promise<void>
}
export type SendOptions = {
  body?: unknown
  headers?: Record<string, string>
  claims?: JWTPayload
}
export type Answered = { status: number; headers: Headers; body: Record<string, unknown> }

/**
 * The admin API on a port and a store of its own, with the tenant `default` and the client `admin`. `between` may put
 * something between the API and the store.
 */
export async function startAdminServer(
  between: (store: Store) => Store = (store) => store,
): Promise<AdminServer> {
  let now = Date.now()
  let isRecordable = true
  const clock = () => now
  const opened = await openTestSqlite(clock)
  const store = between(opened.store)
  const registry = createRegistry({ store, clock, maxFailuresPerMinute: 30 })
  await registry.tenants.create(newTenantSchema.parse({ tenant_id: 'default' }))
  await registry.clients.create(
    newClientSchema.parse({ client_id: 'admin', scope: ADMIN_SCOPES.join(' ') }),
  )
  const makeKey = () => makeRsaKey(2048)
  const encryptionKey = randomBytes(32).toString('base64')
  const documents = createKeyDocuments(
    openKeyRecords(opened.store),
    sealingKeysOf({ encryptionKey }),
  )
  const ring = await openRingStore(documents, { makeKey, clock })
  const { kid, privateJwk } = activeKey(await ring.load())
  const key = await importJWK({ ...privateJwk }, 'RS256')
  const { log, lines } = createTestLog()
  const revocations = followRevocations(store, { clock, log })
  await revocations.caughtUp
  const live = await openLiveRing(ring, log)
  const policy = { jwksMaxAgeSeconds: 300, tokenLifetimeSeconds: 1860, rotateEverySeconds: 86_400 }
  const parts = { store, documents, ring, live, revocations, policy, makeKey, clock, log }
  const signingKeys = createSigningKeys(parts)
  const callback = createAdminApp({
    issuer: ISSUER,
    proxy: { url: PROXY, clockSkewSeconds: 30 },
    resources: [PROXY, `${ISSUER}/admin`],
    registry,
    store,
    ring: live.current,
    signingKeys,
    audit: {
      requireRecordable() {
        if (!isRecordable) throw new AppError('temporarily_unavailable', 'Not recordable.')
      },
    },
    expiring: () => [],
    archive: undefined,
    usageSource: undefined,
    revocations: createRevocationGuard(revocations, {
      maxStalenessSeconds: 60,
      onStale: 'continue',
      log,
    }),
    scopes: ['ocr_api_access', ...ADMIN_SCOPES],
    clock,
    log,
    trustedProxies: new BlockList(),
    isSecure: false,
  }).callback()
  const server = await startHttpServer({
    name: 'admin.listen',
    listen: { host: '127.0.0.1', port: 0 },
    handle: (req, res) => void callback(req, res),
    log,
  })
  const url = `http://127.0.0.1:${server.address.port}`

  const sign = (claims: JWTPayload = {}) =>
    new SignJWT({
      ...goodClaims(ISSUER, `${ISSUER}/admin`, clock),
      sub: 'admin',
      client_id: 'admin',
      tenant_id: 'default',
      scope: ADMIN_SCOPES.join(' '),
      ...claims,
    })
      .setProtectedHeader({ alg: 'RS256', typ: 'at+jwt', kid })
      .sign(key)

  return {
    url,
    registry,
    lines,
    now: clock,
    travel: (seconds) => {
      now += seconds * 1000
    },
    loseTrail: () => {
      isRecordable = false
    },
    sign,
    async send(method, path, { body, headers = {}, claims } = {}) {
      const response = await fetch(`${url}/admin/v1/${path}`, {
        method,
        headers: {
          authorization: `Bearer ${await sign(claims)}`,
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
          ...headers,
        },
        ...(body === undefined
          ? {}
          : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
      })
      const text = await response.text()
      return {
        status: response.status,
        headers: response.headers,
        body: text === '' ? {} : (JSON.parse(text) as Record<string, unknown>),
      }
    },
    async close() {
      await server.drain(0)
      live.close()
      revocations.close()
      await opened.stop()
    },
  }
}
