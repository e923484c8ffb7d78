import { once } from 'node:events'
import { createServer } from 'node:http'
import { BlockList } from 'node:net'
import { join } from 'node:path'
import { createIssuerApp } from '../src/issuer/app.ts'
import { createLiveProvider } from '../src/issuer/live-provider.ts'
import { createIssuerMetrics } from '../src/issuer/metrics.ts'
import { mutualTls } from '../src/issuer/mutual-tls.ts'
import { createProvider } from '../src/issuer/provider.ts'
import { systemClock } from '../src/kernel/clock.ts'
import { createLog } from '../src/kernel/log.ts'
import { createMetricsRegistry } from '../src/kernel/metrics.ts'
import { loadOrCreateSecrets } from '../src/keys/installation-secrets.ts'
import { createKeyDocuments } from '../src/keys/key-documents.ts'
import { openKeyFolder } from '../src/keys/document-place.ts'
import { generateSigningKey } from '../src/keys/ring-file.ts'
import { openRingStore } from '../src/keys/ring-store.ts'
import { fixedRing } from '../src/keys/ring-source.ts'
import { createRegistry } from '../src/registry/create-registry.ts'
import { createGuessLimits } from '../src/registry/guess-limits.ts'
import type { Clients, Registry } from '../src/registry/registry.ts'
import { newTenantSchema } from '../src/registry/tenant.ts'
import { openSqliteStore } from '../src/store/sqlite.ts'
import { addCopies, makeClient } from '../test/support/many-clients.ts'
import type { ServedIssuer } from './served-issuer.ts'

/**
 * A process to measure: `node --expose-gc registry-issuer.ts FOLDER CLIENTS` serves an issuer that has so many clients, once as it
 * is and once with secrets that are compared in the clear, and pages through them all. One line of JSON tells of it.
 */
const RESOURCE = 'http://localhost:8080'
const PAGE = 500

const [folder = '', count = '0'] = process.argv.slice(2)
const store = await openSqliteStore({ path: join(folder, 'gatehouse.db'), clock: systemClock })
const registry = createRegistry({ store, clock: systemClock, maxFailuresPerMinute: 30 })
await registry.tenants.create(newTenantSchema.parse({ tenant_id: 'default' }))
const clients = [await makeClient(registry.clients), await makeClient(registry.clients)]
await addCopies(store, clients[0]?.clientId ?? '', Number(count))

const served: ServedIssuer = {
  hashing: await serve(registry.clients),
  plain: await serve({ ...registry.clients, verifySecret: async ({ secret }) => secret !== '' }),
  clients,
  paging: await pageThrough(registry),
}
process.stdout.write(`${JSON.stringify(served)}\n`)

async function serve(all: Clients): Promise<string> {
  const server = createServer()
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  const port = typeof address === 'object' ? address?.port : undefined
  const issuer = `http://localhost:${port}`
  const documents = createKeyDocuments(openKeyFolder(folder), [])
  const makeKey = () => generateSigningKey(2048)
  const rings = await openRingStore(documents, { makeKey, clock: systemClock })
  const ring = fixedRing(await rings.load())
  const log = createLog('silent')
  const options = {
    issuer,
    secrets: await loadOrCreateSecrets(documents),
    clients: all,
    users: registry.users,
    codeGuesses: createGuessLimits(systemClock, 30),
    store,
    clock: systemClock,
    ownTokens: { findLive: async () => undefined },
    resources: { [RESOURCE]: { scopes: ['ocr_api_access'] } },
    defaultResource: RESOURCE,
    accessTokenTtlSeconds: 900,
    mutualTls: mutualTls({
      trustedProxies: new BlockList(),
      clientCa: () => undefined,
      clock: Date.now,
    }),
    fetchClientJwks: () => Promise.reject(new Error('nobody asks for keys')),
    refreshTokenTtlSeconds: 1_209_600,
    log,
    metrics: createIssuerMetrics(createMetricsRegistry()),
  }
  const provider = await createLiveProvider({
    ring,
    build: (current) => createProvider(current, options),
    log,
  })
  const app = createIssuerApp({
    audit: { requireRecordable: () => undefined },
    ownRoutes: [],
    issuer,
    provider,
    registry,
    store,
    formKey: options.secrets.formKey,
    defaultResource: RESOURCE,
    metrics: options.metrics,
    ring,
    jwksMaxAgeSeconds: 300,
    log,
    trustedProxies: new BlockList(),
  })
  const callback = app.callback()
  server.on('request', (req, res) => void callback(req, res))
  return `http://127.0.0.1:${port}`
}

/** The heap is looked at after a full collection, every 20 pages. */
async function pageThrough({ clients: all }: Registry): Promise<ServedIssuer['paging']> {
  const startedAt = performance.now()
  const heapAtStart = collectedHeapBytes()
  const result = { clients: 0, seconds: 0, slowestPageMs: 0, peakHeapGrowthBytes: 0 }
  let pages = 0
  let cursor: string | undefined
  do {
    const pageStartedAt = performance.now()
    const page = await all.list({ cursor, limit: PAGE })
    result.slowestPageMs = Math.max(result.slowestPageMs, performance.now() - pageStartedAt)
    result.clients += page.items.length
    pages += 1
    if (pages % 20 === 0) {
      const growth = collectedHeapBytes() - heapAtStart
      result.peakHeapGrowthBytes = Math.max(result.peakHeapGrowthBytes, growth)
    }
    cursor = page.next_cursor
  } while (cursor !== undefined)
  result.seconds = (performance.now() - startedAt) / 1000
  return result
}

function collectedHeapBytes(): number {
  globalThis.gc?.()
  return process.memoryUsage().heapUsed
}
