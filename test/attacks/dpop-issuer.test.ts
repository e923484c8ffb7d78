import { exportJWK } from 'jose'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openKeyFolder } from '../../src/keys/document-place.ts'
import { createKeyDocuments } from '../../src/keys/key-documents.ts'
import { loadOrCreateSecrets } from '../../src/keys/installation-secrets.ts'
import { createDpopNonces } from '../../src/tokens/dpop-nonces.ts'
import { inspectToken } from '../../src/tokens/inspect.ts'
import { createDpopClient, type DpopClient } from '../support/dpop-client.ts'
import { startGatehouse, type Gatehouse } from '../support/gatehouse.ts'
import { startModelServer, type ModelServer } from '../support/model-server.ts'
import { exchangeRaw, statusOf } from '../support/raw-http.ts'

let model: ModelServer
let gatehouse: Gatehouse
let dpop: DpopClient
let client: { clientId: string; clientSecret: string }
beforeAll(async () => {
  model = await startModelServer()
  gatehouse = await startGatehouse(model.url)
  dpop = await createDpopClient()
  client = await gatehouse.createClient()
})
afterAll(async () => {
  await gatehouse.close()
  await model.close()
})

const tokenUrl = () => `${gatehouse.config.issuer.url}/token`
const proofFor = (over: Record<string, unknown> = {}, header: Record<string, unknown> = {}) =>
  dpop.prove({ method: 'POST', uri: tokenUrl() }, over, header)

const basicOf = ({ clientId, clientSecret }: typeof client) =>
  `Basic ${Buffer.from(`${clientId}:${clientSecret}`).toString('base64')}`

async function request(proof: string | undefined, as = client) {
  const response = await fetch(tokenUrl(), {
    method: 'POST',
    headers: { authorization: basicOf(as), ...(proof === undefined ? {} : { dpop: proof }) },
    body: new URLSearchParams({ grant_type: 'client_credentials' }),
  })
  const body = (await response.json()) as Record<string, unknown>
  return { status: response.status, body, nonce: response.headers.get('dpop-nonce') }
}

describe('RFC 9449 §5: a token request with a DPoP proof', () => {
  test('gets a token that is bound to its key, and opens the proxy with that key alone', async () => {
    const { status, body } = await request(await proofFor())
    expect({ status, type: body['token_type'] }).toEqual({ status: 200, type: 'DPoP' })
    const accessToken = String(body['access_token'])
    expect(inspectToken(accessToken).payload).toMatchObject({ cnf: { jkt: dpop.jkt } })

    const uri = `${gatehouse.config.proxy.url}/v1/models`
    const call = async (scheme: string, by?: DpopClient) => {
      const proof = await by?.prove({ method: 'GET', uri, accessToken })
      const headers = { authorization: `${scheme} ${accessToken}` }
      const all = proof === undefined ? headers : { ...headers, dpop: proof }
      return (await fetch(uri, { headers: all })).status
    }
    expect(await call('DPoP', dpop)).toBe(200)
    expect(await call('DPoP', await createDpopClient())).toBe(401)
    expect(await call('DPoP')).toBe(401)
    expect(await call('Bearer')).toBe(401)
  })

  test('counts once, also when it comes ten times at the same time', async () => {
    const proof = await proofFor()
    const answers = await Promise.all(Array.from({ length: 10 }, () => request(proof)))
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(1)
    const refused = answers.filter(({ status }) => status !== 200)
    for (const { status, body } of refused) {
      expect({ status, error: body['error'] }).toEqual({ status: 400, error: 'invalid_dpop_proof' })
    }
  })

  const at = (seconds: number) => Math.floor(Date.now() / 1000) + seconds

  test.each([
    ['for another method', () => proofFor({ htm: 'GET' })],
    ['for another address', () => proofFor({ htu: `${tokenUrl()}/revocation` })],
    ['for another host', () => proofFor({ htu: 'https://evil.example/token' })],
    ['without a jti', () => proofFor({ jti: undefined })],
    ['without a time', () => proofFor({ iat: undefined })],
    ['that is another kind of token', () => proofFor({}, { typ: 'JWT' })],
    ['whose key is another', async () => proofFor({}, { jwk: (await createDpopClient()).jwk })],
    [
      'with a private key in it',
      async () => proofFor({}, { jwk: await exportJWK(dpop.privateKey) }),
    ],
    ['with no key in it', () => proofFor({}, { jwk: undefined })],
    ['that is nothing of the sort', () => Promise.resolve('x')],
  ])('%s is refused', async (_title, proof) => {
    const { status, body } = await request(await proof())
    expect({ status, error: body['error'] }).toEqual({ status: 400, error: 'invalid_dpop_proof' })
  })

  test('two of them are refused', async () => {
    const { port } = new URL(tokenUrl())
    const body = 'grant_type=client_credentials'
    const answer = await exchangeRaw(
      Number(port),
      [
        'POST /token HTTP/1.1',
        'Host: localhost',
        `Authorization: ${basicOf(client)}`,
        `DPoP: ${await proofFor()}`,
        `DPoP: ${await proofFor()}`,
        'Content-Type: application/x-www-form-urlencoded',
        `Content-Length: ${body.length}`,
        '',
        body,
      ].join('\r\n'),
    )
    expect(statusOf(answer)).toBe(400)
    expect(answer).toContain('invalid_dpop_proof')
  })

  test('from a wrong clock is told a nonce, and passes with it', async () => {
    for (const iat of [at(-3600), at(3600)]) {
      const refused = await request(await proofFor({ iat }))
      expect(refused).toMatchObject({ status: 400, body: { error: 'use_dpop_nonce' } })
      const { nonce } = refused
      expect(nonce).not.toBeNull()
      expect((await request(await proofFor({ iat, nonce }))).status).toBe(200)
    }
    // So that other endpoints of the issuer can take the same one.
    const { dpopNonceKey } = await loadOrCreateSecrets(
      createKeyDocuments(openKeyFolder(gatehouse.config.keys.dir), []),
    )
    const nonces = createDpopNonces(() => dpopNonceKey, Date.now)
    expect(nonces.isAcceptable((await request(await proofFor())).nonce ?? '')).toBe(true)
    const ours = await request(await proofFor({ nonce: nonces.current() }))
    expect(ours.status).toBe(200)
    const madeUp = await request(await proofFor({ nonce: 'made-up' }))
    expect(madeUp).toMatchObject({ status: 400, body: { error: 'use_dpop_nonce' } })
  })

  test('is what a client must send that registered dpop_bound_access_tokens', async () => {
    const strict = await gatehouse.createClient({ dpop_bound_access_tokens: true })
    const without = await request(undefined, strict)
    expect(without).toMatchObject({ status: 400, body: { error: 'invalid_dpop_proof' } })
    expect((await request(await proofFor(), strict)).body['token_type']).toBe('DPoP')
  })

  test('is announced in the metadata, without an algorithm that proves nothing', async () => {
    const url = `${gatehouse.config.issuer.url}/.well-known/oauth-authorization-server`
    const metadata = (await (await fetch(url)).json()) as Record<string, unknown>
    expect(metadata).toMatchObject({
      dpop_signing_alg_values_supported: [
        'ES256',
        'ES384',
        'ES512',
        'PS256',
        'RS256',
        'Ed25519',
        'EdDSA',
      ],
      tls_client_certificate_bound_access_tokens: true,
    })
  })
})

describe('RFC 9449 §7: a bound token at a resource of the issuer itself', () => {
  test('opens it with a proof of its key, once, and is refused as Bearer', async () => {
    const { url } = gatehouse.config.issuer
    const reader = await gatehouse.createClient({ scope: 'revocations:read' })
    const answer = await fetch(tokenUrl(), {
      method: 'POST',
      headers: { authorization: basicOf(reader), dpop: await proofFor() },
      body: new URLSearchParams({ grant_type: 'client_credentials', resource: url }),
    })
    const { access_token: accessToken } = (await answer.json()) as { access_token: string }
    const read = async (scheme: string, proof?: string) => {
      const headers = { authorization: `${scheme} ${accessToken}` }
      const all = proof === undefined ? headers : { ...headers, dpop: proof }
      const response = await fetch(`${url}/revocations`, { headers: all })
      await response.body?.cancel()
      return [response.status, response.headers.get('www-authenticate')]
    }
    const prove = (uri = `${url}/revocations`) => dpop.prove({ method: 'GET', uri, accessToken })
    const proof = await prove()
    expect(await read('DPoP', proof)).toEqual([200, null])
    expect(await read('DPoP', proof)).toEqual([
      401,
      expect.stringMatching(/^Bearer, DPoP algs=.*error="invalid_dpop_proof"/),
    ])
    expect((await read('DPoP', await prove(tokenUrl())))[0]).toBe(401)
    expect(await read('Bearer')).toEqual([
      401,
      expect.stringMatching(/^Bearer error="invalid_token".*, DPoP algs=/),
    ])
  })
})
