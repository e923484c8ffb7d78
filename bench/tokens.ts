import { randomUUID } from 'node:crypto'
import { createServer } from 'node:http'
import { exportJWK, exportSPKI, generateKeyPair, SignJWT, type JWTPayload } from 'jose'

export type TestIssuer = {
  url: string
  /** What HAProxy's `jwt_verify` reads instead of a JWKS. */
  publicKeyPem: string
  /** Access tokens as the issuer makes them (RFC 9068), of about 900 bytes, each of another client. */
  issueTokens: (count: number, audience: string, claims?: JWTPayload) => Promise<string[]>
  /** How often the JWKS was fetched. */
  jwksFetches: () => number
  close: () => void
}

const KID = 'bench-key-2026-01'
const LIFETIME_SECONDS = 7200

/** An issuer that only publishes: its metadata and its one RS256 key, 2048 bits. It signs without being asked. */
export async function startTestIssuer(port: number): Promise<TestIssuer> {
  const url = `http://localhost:${port}`
  const { publicKey, privateKey } = await generateKeyPair('RS256', { modulusLength: 2048 })
  const jwk = { ...(await exportJWK(publicKey)), kid: KID, alg: 'RS256', use: 'sig' }
  const documents = new Map<string, object>([
    ['/.well-known/oauth-authorization-server', { issuer: url, jwks_uri: `${url}/jwks` }],
    ['/jwks', { keys: [jwk] }],
  ])
  let fetches = 0
  const server = createServer((req, res) => {
    if (req.url === '/jwks') fetches += 1
    const document = documents.get(req.url ?? '')
    res.writeHead(document === undefined ? 404 : 200, { 'content-type': 'application/json' })
    res.end(JSON.stringify(document ?? {}))
  })
  await new Promise<void>((resolve) => server.listen(port, 'localhost', resolve))
  return {
    url,
    publicKeyPem: await exportSPKI(publicKey),
    issueTokens(count, audience, claims = {}) {
      return Promise.all(
        Array.from({ length: count }, () =>
          new SignJWT({ ...claimsOfNewClient(), ...claims })
            .setProtectedHeader({ alg: 'RS256', typ: 'at+jwt', kid: KID })
            .setIssuer(url)
            .setAudience(audience)
            .setIssuedAt()
            .setExpirationTime(`${LIFETIME_SECONDS}s`)
            .sign(privateKey),
        ),
      )
    },
    jwksFetches: () => fetches,
    close() {
      server.closeAllConnections()
      server.close()
    },
  }
}

function claimsOfNewClient() {
  const clientId = `client-${randomUUID()}`
  return {
    jti: randomUUID(),
    sub: clientId,
    client_id: clientId,
    tenant_id: 'acme',
    scope: 'ocr_api_access',
    limits: { subject: { rpm: 1_000_000 }, tenant: { concurrency: 1000 } },
  }
}
