import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openRedisStore } from '../../src/store/redis-store.ts'
import { parseRedisUrl } from '../../src/store/redis-url.ts'
import type { Change } from '../../src/store/store.ts'
import { AUTHORITY, hasOpenssl, makeCertificate, type Certified } from '../support/certificates.ts'
import { hasRedisServer } from '../support/redis-binary.ts'
import { clusterSettings, findFreePort, LAST_SLOT, startRedis } from '../support/redis-server.ts'
import { waitUntil } from '../support/wait-until.ts'

const REGISTRY = { name: 'registry', layout: 'together' } as const
const A_CLIENT: Change = {
  kind: 'put',
  id: 'client/a',
  value: { name: 'a' },
  expect: 'any',
  lifetime: 'permanent',
}

describe.skipIf(!hasRedisServer || !hasOpenssl)('Redis over TLS', () => {
  let authority: Certified
  let named: Certified
  beforeAll(async () => {
    authority = await makeCertificate({ subject: '/CN=authority', extensions: AUTHORITY })
    const extensions = ['subjectAltName=DNS:localhost']
    named = await makeCertificate({ subject: '/CN=redis', extensions, by: authority })
  })
  const stops: (() => Promise<void>)[] = []
  afterAll(() => Promise.all(stops.map((stop) => stop())))

  /** Beside the plain port, by which it is set up. */
  const startOverTls = async (settings: Readonly<Record<string, string>> = {}) => {
    const tlsPort = await findFreePort()
    const servers = await startRedis({
      ...settings,
      'tls-port': String(tlsPort),
      'tls-cert-file': named.certFile,
      'tls-key-file': named.keyFile,
      'tls-ca-cert-file': authority.certFile,
      'tls-auth-clients': 'no',
    })
    stops.push(servers.stop)
    return { ...servers, tlsPort }
  }

  const open = (url: string, ca?: string) => {
    const tls = ca === undefined ? {} : { tls: { ca } }
    const store = openRedisStore({ target: parseRedisUrl(url), keyPrefix: 'gatehouse:', ...tls })
    stops.push(store.close)
    return store
  }

  test('a server is used only by the name that its certificate has, and by an authority that is trusted', async () => {
    const { tlsPort } = await startOverTls()
    const store = open(`rediss://localhost:${tlsPort}`, authority.cert)
    await store.commit(REGISTRY, [A_CLIENT])
    expect(await store.get(REGISTRY, 'client/a')).toMatchObject({ value: { name: 'a' } })

    await expect(
      open(`rediss://127.0.0.1:${tlsPort}`, authority.cert).get(REGISTRY, 'client/a'),
    ).rejects.toMatchObject({ reason: 'redis_ERR_TLS_CERT_ALTNAME_INVALID' })
    await expect(
      open(`rediss://localhost:${tlsPort}`).get(REGISTRY, 'client/a'),
    ).rejects.toMatchObject({ reason: expect.stringMatching(/SELF_SIGNED|UNABLE_TO/) })
  })

  test('the nodes of a Cluster are reached by their names, which their certificates have', async () => {
    const { nodes, tlsPort } = await startOverTls({
      ...(await clusterSettings('nodes.conf')),
      'tls-cluster': 'yes',
      'cluster-announce-hostname': 'localhost',
      'cluster-preferred-endpoint-type': 'hostname',
    })
    await nodes[0]?.link.send(['cluster', 'addslotsrange', 0, LAST_SLOT])
    const store = open(`rediss+cluster://localhost:${tlsPort}`, authority.cert)
    await waitUntil('a connection', async () => Boolean(await store.status()))
    await store.commit(REGISTRY, [A_CLIENT])
    expect(await store.get(REGISTRY, 'client/a')).toMatchObject({ value: { name: 'a' } })
  })
})
