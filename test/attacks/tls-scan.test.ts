import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { parseListenAddress } from '../../src/kernel/listen-address.ts'
import type { Gatehouse } from '../support/gatehouse.ts'
import { startModelServer, type ModelServer } from '../support/model-server.ts'
import { useTempFolders } from '../support/temp-folders.ts'
import { startTlsGatehouse } from '../support/tls-gatehouse.ts'
import { hasSslscan, scanWithSslscan } from '../support/tls-scan.ts'

const newFolder = useTempFolders()
if (!hasSslscan) console.warn('SKIPPED: no sslscan here, so no listener is scanned')

describe.skipIf(!hasSslscan)('sslscan', () => {
  let model: ModelServer
  let gatehouse: Gatehouse
  beforeAll(async () => {
    model = await startModelServer()
    const dir = newFolder()
    // With what asks for client certificates, which is where the listeners can differ.
    const clientCa = `issuer.tls.clientCa=${dir}/ca.pem`
    ;({ gatehouse } = await startTlsGatehouse(model.url, dir, [clientCa]))
  })
  afterAll(async () => {
    await gatehouse?.close()
    await model?.close()
  })

  test.each(['issuer', 'admin', 'proxy'] as const)(
    'finds no weakness at the listener of the %s',
    async (role) => {
      const { port } = parseListenAddress(gatehouse.config[role].listen)
      const { protocols, ciphers, weaknesses } = await scanWithSslscan(port)
      expect(weaknesses).toEqual([])
      expect(protocols).toEqual(['tls1.2', 'tls1.3'])
      expect(ciphers).toEqual([
        'TLS_AES_128_GCM_SHA256',
        'TLS_AES_256_GCM_SHA384',
        'TLS_CHACHA20_POLY1305_SHA256',
        'ECDHE-ECDSA-AES128-GCM-SHA256',
        'ECDHE-ECDSA-AES256-GCM-SHA384',
        'ECDHE-ECDSA-CHACHA20-POLY1305',
      ])
    },
    120_000,
  )
})
