// Gets a token that is bound to a key (DPoP, RFC 9449), and calls with it: whoever steals the token lacks the key.
import { createHash, randomUUID } from 'node:crypto'
import { exportJWK, generateKeyPair, SignJWT } from 'jose'

const {
  ISSUER = 'http://localhost:9000',
  PROXY = 'http://localhost:8080',
  CLIENT_ID = '',
  CLIENT_SECRET = '',
} = process.env

// A real client keeps its key, where it keeps its secret.
const { privateKey, publicKey } = await generateKeyPair('ES256')
const jwk = await exportJWK(publicKey)

/** The nonce that each server last gave us. */
const nonces = new Map()

/** A proof is for one request: its method, its address without query and, when a token goes along, that token. */
function sign(method, url, token) {
  const nonce = nonces.get(new URL(url).origin)
  const claims = { htm: method, htu: url, jti: randomUUID(), nonce }
  if (token !== undefined) claims.ath = createHash('sha256').update(token).digest('base64url')
  return new SignJWT(claims)
    .setProtectedHeader({ alg: 'ES256', typ: 'dpop+jwt', jwk })
    .setIssuedAt()
    .sign(privateKey)
}

/** Sends with a fresh proof; once more when the server wants its nonce in it. */
async function send(method, url, { headers = {}, token, ...rest } = {}) {
  for (let attempt = 1; ; attempt++) {
    const proof = await sign(method, url, token)
    const authorization = token === undefined ? {} : { authorization: `DPoP ${token}` }
    const response = await fetch(url, {
      ...rest,
      method,
      headers: { ...headers, ...authorization, dpop: proof },
    })
    const nonce = response.headers.get('dpop-nonce')
    const isNew = nonce !== null && nonce !== nonces.get(new URL(url).origin)
    if (isNew) nonces.set(new URL(url).origin, nonce)
    if (response.ok) return response.json()
    const isRefused = response.status === 400 || response.status === 401
    if (!isRefused || !isNew || attempt === 2) {
      throw new Error(`${response.status} ${await response.text()}`)
    }
  }
}

const { access_token: token, token_type: type } = await send('POST', `${ISSUER}/token`, {
  headers: { authorization: `Basic ${btoa(`${CLIENT_ID}:${CLIENT_SECRET}`)}` },
  body: new URLSearchParams({ grant_type: 'client_credentials' }),
})
const { data } = await send('GET', `${PROXY}/v1/models`, { token })
console.log(`${type} token accepted; models: ${data.map(({ id }) => id).join(', ')}`)
