import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseListenAddress } from '../src/kernel/listen-address.ts'
import { startModelServer } from '../test/support/model-server.ts'
import { startTlsGatehouse } from '../test/support/tls-gatehouse.ts'
import {
  hasSslscan,
  hasTestssl,
  scanWithSslscan,
  scanWithTestssl,
} from '../test/support/tls-scan.ts'

/**
 * Scans the listeners of the issuer and the proxy with sslscan and testssl.sh, and fails when either finds a weakness
 * (testssl.sh: MEDIUM or above). Takes some minutes. What is not installed is said, and fails as well.
 */
const dir = await mkdtemp(join(tmpdir(), 'gatehouse-tls-scan-'))
const model = await startModelServer()
const { gatehouse, certificate } = await startTlsGatehouse(model.url, dir)
let found = 0

function report(what: string, weaknesses: readonly string[]): void {
  found += weaknesses.length
  console.log(`${what}: ${weaknesses.length === 0 ? 'no weakness' : weaknesses.join('; ')}`)
}

try {
  for (const role of ['issuer', 'proxy'] as const) {
    const { port } = parseListenAddress(gatehouse.config[role].listen)
    if (!hasSslscan) report(`sslscan, ${role}`, ['not installed'])
    else {
      const { protocols, ciphers, weaknesses } = await scanWithSslscan(port)
      console.log(`${role}: ${protocols.join(', ')}; ${ciphers.join(', ')}`)
      report(`sslscan, ${role}`, weaknesses)
    }
    if (!hasTestssl) report(`testssl, ${role}`, ['not installed'])
    else {
      const findings = await scanWithTestssl(port, { ca: certificate.ca, dir })
      report(
        `testssl, ${role}`,
        findings.map(({ id, severity, finding }) => `${id} (${severity}): ${finding}`),
      )
    }
  }
} finally {
  await gatehouse.close()
  await model.close()
  await rm(dir, { recursive: true })
}
process.exitCode = found === 0 ? 0 : 1
