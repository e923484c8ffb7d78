import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { freePorts } from '../src/cli/free-ports.ts'
import { startBackend, startNginxProxy } from './backend.ts'
import { startGatehouseProxy } from './gatehouse-proxy.ts'
import { SERVER_CORE, waitFor, type Lab } from './lab.ts'
import { startTestIssuer, type TestIssuer } from './tokens.ts'
import type { Contestant } from './wrk.ts'

/** Everything in front of the same backend; only one of them is under load at a time. */
export type Field = {
  issuer: TestIssuer
  /** The `aud` that the tokens need. */
  audience: string
  backend: Contestant
  gatehouse: Contestant
  undici: Contestant
  haproxy: Contestant
  nginx: Contestant
}

const here = (path: string) => join(import.meta.dirname, path)

export async function startField(lab: Lab): Promise<Field> {
  const ports = await freePorts(7)
  const [issuerPort = 0, backendPort = 0, port = 0, opsPort = 0, ...others] = ports
  const [undiciPort = 0, haproxyPort = 0, nginxPort = 0] = others
  const audience = `http://localhost:${port}`
  const issuer = await startTestIssuer(issuerPort)
  const backendUrl = `http://127.0.0.1:${backendPort}`
  const at = (name: string, contestantPort: number, pid: number): Contestant => ({
    name,
    url: `http://127.0.0.1:${contestantPort}`,
    pid,
  })

  const backend = at('backend alone', backendPort, await startBackend(lab, backendPort))
  const gatehousePid = await startGatehouseProxy(lab, {
    issuerUrl: issuer.url,
    upstreamUrl: backendUrl,
    url: audience,
    opsPort,
  })
  const barePid = lab.start(
    'undici',
    [process.execPath, here('bare-undici-proxy.ts'), String(undiciPort), backendUrl],
    { core: SERVER_CORE },
  )
  const haproxyPid = startHaproxy(lab, { port: haproxyPort, backendPort, issuer, audience })
  const nginxPid = startNginxProxy(lab, nginxPort, backendPort)

  const field = {
    issuer,
    audience,
    backend,
    gatehouse: at('gatehouse', port, gatehousePid),
    undici: at('undici, no checks', undiciPort, barePid),
    haproxy: at('haproxy jwt_verify', haproxyPort, haproxyPid),
    nginx: at('nginx, no checks', nginxPort, nginxPid),
  }
  for (const { url } of [field.undici, field.haproxy, field.nginx]) await waitFor(url)
  return field
}

type HaproxyOptions = { port: number; backendPort: number; issuer: TestIssuer; audience: string }

/** HAProxy checks what we check of these tokens, but has no JWKS, no log and no metrics here. */
function startHaproxy(lab: Lab, { port, backendPort, issuer, audience }: HaproxyOptions): number {
  const keyFile = join(lab.dir, 'issuer.pem')
  const configFile = join(lab.dir, 'haproxy.cfg')
  writeFileSync(keyFile, issuer.publicKeyPem)
  writeFileSync(
    configFile,
    `global
  nbthread 1
defaults
  mode http
  option http-no-delay
  timeout connect 2s
  timeout client 60s
  timeout server 60s
frontend proxy
  bind 127.0.0.1:${port}
  http-request deny deny_status 401 unless { req.hdr(authorization) -m found }
  http-request set-var(txn.token) http_auth_bearer
  http-request set-var(txn.alg) var(txn.token),jwt_header_query('$.alg')
  http-request set-var(txn.iss) var(txn.token),jwt_payload_query('$.iss')
  http-request set-var(txn.aud) var(txn.token),jwt_payload_query('$.aud')
  http-request set-var(txn.exp) var(txn.token),jwt_payload_query('$.exp','int')
  http-request set-var(txn.scope) var(txn.token),jwt_payload_query('$.scope')
  http-request set-var(txn.now) date()
  http-request deny deny_status 401 unless { var(txn.alg) -m str RS256 }
  http-request deny deny_status 401 unless { var(txn.iss) -m str ${issuer.url} }
  http-request deny deny_status 401 unless { var(txn.aud) -m str ${audience} }
  http-request deny deny_status 401 if { var(txn.exp),sub(txn.now) -m int lt 0 }
  http-request deny deny_status 403 unless { var(txn.scope) -m reg (^|\\ )ocr_api_access(\\ |$) }
  http-request deny deny_status 401 unless { var(txn.token),jwt_verify(txn.alg,"${keyFile}") -m int 1 }
  http-request del-header authorization
  default_backend model
backend model
  http-reuse always
  server backend 127.0.0.1:${backendPort}
`,
  )
  return lab.start('haproxy', ['haproxy', '-db', '-f', configFile], { core: SERVER_CORE })
}
