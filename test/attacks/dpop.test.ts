import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createDpopClient, type DpopClient } from '../support/dpop-client.ts'
import { startLoneProxy, type LoneProxy } from '../support/lone-proxy.ts'
import { exchangeRaw, statusOf } from '../support/raw-http.ts'

const PATH = '/v1/chat/completions'

let proxy: LoneProxy
let client: DpopClient
beforeAll(async () => {
  proxy = await startLoneProxy(['proxy.forwardAuth=true'])
  client = await createDpopClient(() => proxy.time.now)
})
afterAll(() => proxy.close())

const uri = () => `${proxy.url}${PATH}`
const bound = (cnf: Record<string, unknown> = { jkt: client.jkt }) => proxy.issuer.sign({ cnf })

const send = (token: string, proof: string | undefined, scheme = 'DPoP', path = PATH) =>
  proxy.call(`${scheme} ${token}`, proof === undefined ? {} : { headers: { dpop: proof } }, path)

async function expectRefused(response: Response, code: string, reason: string) {
  const body = (await response.json()) as { error: { code: string } }
  expect([response.status, body.error.code]).toEqual([401, code])
  const line = proxy.logged.find(
    (entry) => entry['request_id'] === response.headers.get('x-request-id'),
  )
  expect(line).toMatchObject({ decision: 'deny', reason })
}

describe('RFC 9449 §7.1: a DPoP-bound token at the proxy', () => {
  test('with a proof of its key passes, and neither reaches the model server', async () => {
    const token = await bound()
    const proof = await client.prove({ method: 'POST', uri: uri(), accessToken: token })
    expect((await send(token, proof)).status).toBe(200)
    const { rawHeaders } = proxy.model.received.at(-1) ?? { rawHeaders: [] }
    expect(rawHeaders.map((each) => each.toLowerCase())).not.toContain('dpop')
    for (const secret of [token, proof]) expect(rawHeaders.join(' ')).not.toContain(secret)
  })

  test('is spelt in any case, and its query is not part of the proof', async () => {
    const token = await bound()
    const proof = await client.prove({ method: 'POST', uri: uri(), accessToken: token })
    expect((await send(token, proof, 'dpop', `${PATH}?a=\\b`)).status).toBe(200)
  })

  test('counts each proof once, also for a token that is known', async () => {
    const token = await bound()
    const proof = await client.prove({ method: 'POST', uri: uri(), accessToken: token })
    const answers = await Promise.all(Array.from({ length: 10 }, () => send(token, proof)))
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(1)
    await expectRefused(await send(token, proof), 'invalid_dpop_proof', 'dpop_replay')
    const next = await client.prove({ method: 'POST', uri: uri(), accessToken: token })
    expect((await send(token, next)).status).toBe(200)
  })

  test('counts each proof once also where nothing is sent on', async () => {
    const token = await bound()
    for (const path of ['/_gatehouse/usage', `/_gatehouse/verify${PATH}`]) {
      const method = path.endsWith(PATH) ? 'POST' : 'GET'
      const asked = path.replace('/_gatehouse/verify', '')
      const proof = await client.prove({
        method,
        uri: `${proxy.url}${asked}`,
        accessToken: token,
      })
      const ask = () =>
        fetch(`${proxy.url}${path}`, {
          method,
          headers: { authorization: `DPoP ${token}`, dpop: proof },
        })
      expect((await ask()).status).toBe(200)
      await expectRefused(await ask(), 'invalid_dpop_proof', 'dpop_replay')
    }
  })

  test('uses up no limit with a proof that was used, and the proof where a limit is used up', async () => {
    const limits = { client: { rpm: 2 } }
    const token = await proxy.issuer.sign({ cnf: { jkt: client.jkt }, client_id: 'twice', limits })
    const prove = () => client.prove({ method: 'POST', uri: uri(), accessToken: token })
    const first = await prove()
    expect((await send(token, first)).status).toBe(200)
    for (let i = 0; i < 5; i += 1) {
      await expectRefused(await send(token, first), 'invalid_dpop_proof', 'dpop_replay')
    }
    expect((await send(token, await prove())).status).toBe(200)
    const late = await prove()
    expect((await send(token, late)).status).toBe(429)
    proxy.time.now += 61_000
    await expectRefused(await send(token, late), 'invalid_dpop_proof', 'dpop_replay')
  })

  test('without a proof, with that of a thief, or with one for another token is refused', async () => {
    const token = await bound()
    const request = { method: 'POST', uri: uri(), accessToken: token }
    await expectRefused(await send(token, undefined), 'invalid_dpop_proof', 'dpop_missing')
    const thief = await createDpopClient(() => proxy.time.now)
    const stolen = await send(token, await thief.prove(request))
    await expectRefused(stolen, 'invalid_dpop_proof', 'dpop_jkt')
    const proof = await client.prove({ ...request, accessToken: await bound() })
    await expectRefused(await send(token, proof), 'invalid_dpop_proof', 'dpop_ath')
  })

  test('with a proof for the address that the proxy listens on, not its public one, is refused', async () => {
    const token = await bound()
    const internal = `http://127.0.0.1:${proxy.port}${PATH}`
    const proof = await client.prove({ method: 'POST', uri: internal, accessToken: token })
    await expectRefused(await send(token, proof), 'invalid_dpop_proof', 'dpop_htu')
  })

  test('with two DPoP headers is refused', async () => {
    const token = await bound()
    const request = { method: 'POST', uri: uri(), accessToken: token }
    const answer = await exchangeRaw(
      proxy.port,
      [
        `POST ${PATH} HTTP/1.1`,
        'Host: localhost',
        `Authorization: DPoP ${token}`,
        `DPoP: ${await client.prove(request)}`,
        `dpop: ${await client.prove(request)}`,
        'Content-Length: 2',
        '',
        '{}',
      ].join('\r\n'),
    )
    expect(statusOf(answer)).toBe(401)
    expect(answer).toContain('invalid_dpop_proof')
  })

  test('the challenges name the error with the scheme that was tried, Bearer first', async () => {
    const token = await bound()
    const { headers } = await send(token, 'x')
    const challenges = headers.get('www-authenticate') ?? ''
    const metadata = `resource_metadata="${proxy.url}/.well-known/oauth-protected-resource"`
    expect(challenges.startsWith(`Bearer ${metadata}, DPoP algs="ES256 `)).toBe(true)
    expect(challenges.split(metadata)).toHaveLength(3)
    expect(challenges.split('DPoP')[1]).toContain('error="invalid_dpop_proof"')
    expect(challenges.split('DPoP')[0]).not.toContain('error=')
  })
})

describe('RFC 9449 §7.2: the scheme says what a token is', () => {
  test('a bound token sent as Bearer is refused, with a good proof, too', async () => {
    const token = await bound()
    const proof = await client.prove({ method: 'POST', uri: uri(), accessToken: token })
    for (const answer of [
      await send(token, undefined, 'Bearer'),
      await send(token, proof, 'Bearer'),
    ]) {
      await expectRefused(answer, 'invalid_token', 'bound_as_bearer')
      expect(answer.headers.get('www-authenticate')).toMatch(/^Bearer [^D]*error="invalid_token"/)
    }
    // Nor once it is known as a good DPoP token.
    expect((await send(token, proof)).status).toBe(200)
    await expectRefused(await send(token, undefined, 'Bearer'), 'invalid_token', 'bound_as_bearer')
  })

  test('an unbound token sent as DPoP is refused, known or not', async () => {
    const token = await proxy.issuer.sign()
    const proof = () => client.prove({ method: 'POST', uri: uri(), accessToken: token })
    await expectRefused(await send(token, await proof()), 'invalid_token', 'unbound_as_dpop')
    expect((await send(token, undefined, 'Bearer')).status).toBe(200)
    await expectRefused(await send(token, await proof()), 'invalid_token', 'unbound_as_dpop')
  })

  test('an unbound bearer token passes whatever stands in a DPoP header', async () => {
    expect((await send(await proxy.issuer.sign(), 'x', 'Bearer')).status).toBe(200)
  })

  test('a DPoP proof is no access token', async () => {
    const proof = await client.prove({ method: 'POST', uri: uri() })
    await expectRefused(await send(proof, undefined, 'Bearer'), 'invalid_token', 'wrong_alg')
  })

  test('a missing scope is 403, told with the scheme DPoP', async () => {
    const token = await proxy.issuer.sign({ cnf: { jkt: client.jkt }, scope: 'other' })
    const proof = await client.prove({ method: 'POST', uri: uri(), accessToken: token })
    const response = await send(token, proof)
    expect(response.status).toBe(403)
    expect(response.headers.get('www-authenticate')?.split('DPoP')[1]).toContain(
      'error="insufficient_scope"',
    )
  })
})

describe('RFC 9449 §9: nonces of the proxy', () => {
  test('help whoever has the wrong time, and every answer has a fresh one', async () => {
    const token = await bound()
    const request = { method: 'POST', uri: uri(), accessToken: token }
    const iat = Math.floor(proxy.time.now / 1000) - 3600
    const refused = await send(token, await client.prove(request, { iat }))
    const nonce = refused.headers.get('dpop-nonce')
    await expectRefused(refused, 'use_dpop_nonce', 'dpop_iat')
    const accepted = await send(token, await client.prove(request, { iat, nonce }))
    expect([accepted.status, accepted.headers.get('dpop-nonce')]).toEqual([200, null])
    proxy.time.now += 60_000
    const next = (await send(token, await client.prove(request, { iat, nonce }))).headers
    expect(next.get('dpop-nonce')).not.toBeNull()
    proxy.time.now += 180_000
    const stale = await send(token, await client.prove(request, { iat, nonce }))
    await expectRefused(stale, 'use_dpop_nonce', 'dpop_nonce')
  })

  test('a nonce that was made up, or belongs to another proxy, is refused', async () => {
    const other = await startLoneProxy()
    const token = await bound()
    const request = { method: 'POST', uri: uri(), accessToken: token }
    const foreign = await other.issuer.sign({ cnf: { jkt: client.jkt } })
    const path = `${other.url}${PATH}`
    const proof = await client.prove({ method: 'POST', uri: path, accessToken: foreign })
    const answered = await other.call(`DPoP ${foreign}`, { headers: { dpop: proof } })
    const nonce = answered.headers.get('dpop-nonce')
    expect(nonce).not.toBeNull()
    for (const bad of [nonce, 'made-up', '']) {
      const answer = await send(token, await client.prove(request, { nonce: bad }))
      await expectRefused(answer, 'use_dpop_nonce', 'dpop_nonce')
    }
    await other.close()
  })
})

test('the resource metadata tells how tokens may be bound (RFC 9728 §2)', async () => {
  const response = await fetch(`${proxy.url}/.well-known/oauth-protected-resource`)
  expect(await response.json()).toEqual({
    resource: proxy.url,
    authorization_servers: [proxy.issuer.url],
    scopes_supported: ['ocr_api_access'],
    bearer_methods_supported: ['header'],
    dpop_signing_alg_values_supported: expect.arrayContaining(['ES256']) as unknown,
    // Nobody here could show us a certificate: neither a session with us nor a terminator in front.
    tls_client_certificate_bound_access_tokens: false,
    resource_name: 'Gatehouse',
  })
})
