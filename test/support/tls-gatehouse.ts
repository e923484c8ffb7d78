import { freePorts } from '../../src/cli/free-ports.ts'
import { ensureDevCertificate, type DevCertificate } from '../../src/cli/dev-cert-files.ts'
import { startGatehouse, type Gatehouse } from './gatehouse.ts'

/** As `startGatehouse`, with a certificate of `dev-cert` at each listener. Nobody trusts its CA yet. */
export async function startTlsGatehouse(
  upstreamUrl: string,
  dir: string,
  set: readonly string[] = [],
): Promise<{ gatehouse: Gatehouse; certificate: DevCertificate }> {
  const certificate = await ensureDevCertificate(dir, ['localhost', '127.0.0.1'], Date.now())
  const [issuer, proxy, admin] = await freePorts(3)
  const tlsOf = (role: string, port = 0) => [
    `${role}.listen=127.0.0.1:${port}`,
    `${role}.tls.cert=${certificate.cert}`,
    `${role}.tls.key=${certificate.key}`,
  ]
  const gatehouse = await startGatehouse(upstreamUrl, [
    `issuer.url=https://localhost:${issuer}`,
    `proxy.url=https://localhost:${proxy}`,
    ...tlsOf('issuer', issuer),
    ...tlsOf('proxy', proxy),
    ...tlsOf('admin', admin),
    ...set,
  ])
  return { gatehouse, certificate }
}
