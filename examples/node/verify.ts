import { createServer, type IncomingMessage } from 'node:http'
import { createRemoteJWKSet, errors, jwtVerify, type JWTPayload } from 'jose'

const {
  ISSUER = 'http://localhost:9000',
  AUDIENCE = 'http://localhost:8080',
  SCOPE = 'ocr_api_access',
  PORT = '8090',
} = process.env

// Keeps the keys for the issuer's max-age; an unknown kid causes one fetch per cooldown at most.
const keys = createRemoteJWKSet(new URL(`${ISSUER}/jwks`), {
  cacheMaxAge: 300_000,
  cooldownDuration: 10_000,
})

/** The claims of a good access token, or the status that refuses it. */
async function verify(token: string): Promise<JWTPayload | 401 | 403 | 503> {
  try {
    const { payload } = await jwtVerify(token, keys, {
      algorithms: ['RS256'],
      typ: 'at+jwt',
      issuer: ISSUER,
      audience: AUDIENCE,
      clockTolerance: 30,
      requiredClaims: ['sub', 'client_id', 'iat', 'exp', 'jti'],
    })
    // A token that is bound to its sender is no good as a bearer token.
    if (payload['cnf'] !== undefined) return 401
    const { scope } = payload
    return typeof scope === 'string' && scope.split(' ').includes(SCOPE) ? payload : 403
  } catch (error) {
    return isFaultOfToken(error) ? 401 : 503
  }
}

/** Keys that cannot be fetched say nothing about the token: jose then throws a time-out, a plain JOSEError or a TypeError. */
function isFaultOfToken(error: unknown): boolean {
  const isFetchError = error instanceof errors.JWKSTimeout || error instanceof errors.JWKSInvalid
  return error instanceof errors.JOSEError && error.code !== 'ERR_JOSE_GENERIC' && !isFetchError
}

function bearerToken({ headers }: IncomingMessage): string | undefined {
  return /^bearer +([\w~+/.-]+=*)$/i.exec(headers.authorization ?? '')?.[1]
}

const server = createServer(async (req, res) => {
  const token = bearerToken(req)
  const result = token === undefined ? 401 : await verify(token)
  if (typeof result === 'number') {
    res.writeHead(result, result === 401 ? { 'www-authenticate': 'Bearer' } : {}).end()
  } else {
    res.writeHead(200, { 'x-subject': result.sub }).end(`hello ${result.sub}\n`)
  }
})
server.listen(Number(PORT), '127.0.0.1')
