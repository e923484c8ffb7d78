import {
  exportJWK,
  exportSPKI,
  generateKeyPair,
  SignJWT,
  type JWTHeaderParameters,
  type JWTPayload,
} from 'jose'
import { randomUUID } from 'node:crypto'
import { createServer, type ServerResponse } from 'node:http'

export type TestIssuer = {
  url: string
  /** Public JWKs as they are published now; change it as the test needs. */
  published: Record<string, unknown>[]
  publicPem: string
  privateKey: CryptoKey
  /** How often the JWKS was fetched. */
  fetches: () => number
  /** Replaces what `/jwks` answers. */
  answerJwks: (respond: (res: ServerResponse) => void) => void
  /** A token that a proxy with that audience accepts, unless claims or header say otherwise. */
  sign: (claims?: JWTPayload, header?: Partial<JWTHeaderParameters>) => Promise<string>
  close: () => Promise<void>
}

export const KID = 'test-key-1'

/** A stand-in for the issuer: metadata, a JWKS that the test controls, and the key to sign whatever it likes. */
export async function startTestIssuer(
  audience: string,
  clock: () => number = Date.now,
): Promise<TestIssuer> {
  const pair = await generateKeyPair('RS256', { extractable: true })
  const published = [{ ...(await exportJWK(pair.publicKey)), kid: KID, alg: 'RS256', use: 'sig' }]
  let fetched = 0
  let respond: (res: ServerResponse) => void = (res) => {
    res
      .setHeader('content-type', 'application/json')
      .end(JSON.stringify({ keys: issuer.published }))
  }
  const server = createServer((req, res) => {
    if (req.url === '/jwks') {
      fetched += 1
      respond(res)
    } else {
      res.end(JSON.stringify({ issuer: issuer.url, jwks_uri: `${issuer.url}/jwks` }))
    }
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')

  const issuer: TestIssuer = {
    url: `http://127.0.0.1:${address.port}`,
    published,
    publicPem: await exportSPKI(pair.publicKey),
    privateKey: pair.privateKey,
    fetches: () => fetched,
    answerJwks(next) {
      respond = next
    },
    sign(claims = {}, header = {}) {
      return new SignJWT({ ...goodClaims(issuer.url, audience, clock), ...claims })
        .setProtectedHeader({ alg: 'RS256', typ: 'at+jwt', kid: KID, ...header })
        .sign(pair.privateKey)
    },
    close() {
      server.closeAllConnections()
      return new Promise((resolve) => server.close(() => resolve()))
    },
  }
  return issuer
}

/** Every claim of RFC 9068, issued now and good for 15 minutes. */
export function goodClaims(
  issuer: string,
  audience: string,
  clock: () => number = Date.now,
): JWTPayload {
  const now = Math.floor(clock() / 1000)
  return {
    iss: issuer,
    aud: audience,
    sub: 'robot',
    client_id: 'robot',
    jti: randomUUID(),
    iat: now,
    exp: now + 900,
    scope: 'ocr_api_access',
  }
}
