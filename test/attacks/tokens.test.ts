import { createHmac, sign as signBytes } from 'node:crypto'
import { exportJWK, exportPKCS8, generateKeyPair, SignJWT } from 'jose'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { goodClaims, KID } from '../support/test-issuer.ts'
import { startLoneProxy, type LoneProxy } from '../support/lone-proxy.ts'

let proxy: LoneProxy
let privatePem: string
beforeAll(async () => {
  proxy = await startLoneProxy()
  privatePem = await exportPKCS8(proxy.issuer.privateKey)
})
afterAll(() => proxy.close())

const encode = (value: unknown) =>
  Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url')

/** A JWS whose parts are exactly these JSON texts, with a good RS256 signature over them. */
function signRaw(header: string, payload: string): string {
  const input = `${encode(header)}.${encode(payload)}`
  const signature = signBytes('RSA-SHA256', Buffer.from(input), privatePem)
  return `${input}.${signature.toString('base64url')}`
}

const HEADER = JSON.stringify({ alg: 'RS256', typ: 'at+jwt', kid: KID })
const claims = (over: Record<string, unknown> = {}) => ({
  ...goodClaims(proxy.issuer.url, proxy.url),
  ...over,
})

async function expectInvalid(token: string, reason: string): Promise<void> {
  const reached = proxy.model.received.length
  const response = await proxy.call(`Bearer ${token}`)
  const body = (await response.json()) as { error: { code: string } }
  expect(response.status).toBe(401)
  expect(body.error.code).toBe('invalid_token')
  expect(response.headers.get('www-authenticate')).toContain('error="invalid_token"')
  const requestId = response.headers.get('x-request-id')
  const line = proxy.logged.find((entry) => entry['request_id'] === requestId)
  expect(line).toMatchObject({ decision: 'deny', reason })
  expect(proxy.model.received).toHaveLength(reached)
}

test('a good token passes, so that the refusals below mean something', async () => {
  const response = await proxy.call(`Bearer ${await proxy.issuer.sign()}`)
  expect(response.status).toBe(200)
  const again = await proxy.call(
    `bearer   ${await proxy.issuer.sign({}, { typ: 'application/AT+JWT' })}`,
  )
  expect(again.status).toBe(200)
})

describe('RFC 8725 §3.1: the algorithm is ours to choose', () => {
  test.each(['none', 'None', 'NONE', 'nOnE'])(
    'alg %s without a signature is refused',
    async (alg) => {
      await expectInvalid(
        `${encode({ alg, typ: 'at+jwt', kid: KID })}.${encode(claims())}.`,
        'not_a_compact_jws',
      )
      await expectInvalid(
        `${encode({ alg, typ: 'at+jwt', kid: KID })}.${encode(claims())}.AA`,
        'wrong_alg',
      )
    },
  )

  test('HS256 with the public key as the secret is refused', async () => {
    const input = `${encode({ alg: 'HS256', typ: 'at+jwt', kid: KID })}.${encode(claims())}`
    const mac = createHmac('sha256', proxy.issuer.publicPem).update(input).digest('base64url')
    await expectInvalid(`${input}.${mac}`, 'wrong_alg')
  })

  test.each(['PS256', 'ES256', 'RS512', 'RS256 ', 'rs256'])(
    '%s with an RSA kid is refused',
    async (alg) => {
      await expectInvalid(
        signRaw(JSON.stringify({ alg, typ: 'at+jwt', kid: KID }), JSON.stringify(claims())),
        'wrong_alg',
      )
    },
  )

  test('a key of another pair under a published kid is refused', async () => {
    const { privateKey } = await generateKeyPair('RS256')
    const forged = await new SignJWT(claims())
      .setProtectedHeader({ alg: 'RS256', typ: 'at+jwt', kid: KID })
      .sign(privateKey)
    await expectInvalid(forged, 'bad_signature')
  })

  test('a key that travels in the header is never used, an address there never called', async () => {
    const { privateKey, publicKey } = await generateKeyPair('RS256', { extractable: true })
    const jwk = await exportJWK(publicKey)
    const fetches = proxy.issuer.fetches()
    const forged = await new SignJWT(claims())
      .setProtectedHeader({
        alg: 'RS256',
        typ: 'at+jwt',
        kid: KID,
        jwk,
        jku: `${proxy.issuer.url}/jwks`,
      })
      .sign(privateKey)
    await expectInvalid(forged, 'bad_signature')
    expect(proxy.issuer.fetches()).toBe(fetches)
  })
})

describe('RFC 8725 §3.11: only access tokens are taken', () => {
  test.each([
    undefined,
    'JWT',
    'jwt',
    'id+jwt',
    'dpop+jwt',
    'logout+jwt',
    'token-introspection+jwt',
    '',
  ])('typ %s is refused', async (typ) => {
    await expectInvalid(await proxy.issuer.sign({}, { typ: typ as string }), 'wrong_typ')
  })

  test.each([{ crit: ['exp'] }, { crit: [] }, { crit: ['b64'], b64: false }, { b64: false }])(
    'the extension header %j is refused',
    async (extension) => {
      const header = JSON.stringify({ alg: 'RS256', typ: 'at+jwt', kid: KID, ...extension })
      await expectInvalid(signRaw(header, JSON.stringify(claims())), 'unsupported_crit')
    },
  )
})

describe('RFC 9068 §4: claims', () => {
  test.each([
    ['another issuer', { iss: 'https://evil.example' }, 'wrong_issuer'],
    ['the issuer with a slash', { iss: 'SLASH' }, 'wrong_issuer'],
    ['another audience', { aud: 'https://other.example' }, 'wrong_audience'],
    ['audiences without us', { aud: ['a', 'b'] }, 'wrong_audience'],
    ['an empty audience list', { aud: [] }, 'wrong_audience'],
    ['an audience object', { aud: { 0: 'x' } }, 'claim_aud'],
    ['no audience', { aud: undefined }, 'claim_aud'],
    ['no issuer', { iss: undefined }, 'claim_iss'],
    ['no subject', { sub: undefined }, 'claim_sub'],
    ['no client', { client_id: undefined }, 'claim_client_id'],
    ['no jti', { jti: undefined }, 'claim_jti'],
    ['no iat', { iat: undefined }, 'claim_iat'],
    ['no exp', { exp: undefined }, 'claim_exp'],
    ['an exp that is text', { exp: '9999999999' }, 'claim_exp'],
    ['an absurd exp', { exp: 1e15 }, 'claim_exp'],
    ['a negative iat', { iat: -1 }, 'claim_iat'],
    ['a scope that is an object', { scope: { ocr_api_access: true } }, 'claim_scope'],
    ['a scope that is a list', { scope: ['ocr_api_access'] }, 'claim_scope'],
    ['limits that are text', { limits: 'none' }, 'claim_limits'],
    ['a tenant that is a number', { tenant_id: 1 }, 'claim_tenant_id'],
    ['a binding to a key', { cnf: { jkt: 'x' } }, 'bound_as_bearer'],
    ['a binding to a certificate', { cnf: { 'x5t#S256': 'x' } }, 'other_certificate'],
    ['a binding that nobody knows', { cnf: { kid: 'x' } }, 'unknown_confirmation'],
    ['a binding that is text', { cnf: 'x' }, 'claim_cnf'],
  ])('%s is refused', async (_what, over: Record<string, unknown>, reason) => {
    const iss = over['iss'] === 'SLASH' ? { iss: `${proxy.issuer.url}/` } : {}
    await expectInvalid(await proxy.issuer.sign({ ...over, ...iss }), reason)
  })

  test('an exp beyond every number is refused', async () => {
    const payload = JSON.stringify(claims()).replace(/"exp":\d+/, '"exp":1e400')
    await expectInvalid(signRaw(HEADER, payload), 'claim_exp')
  })

  test('times count within the skew of 30 s, and not beyond it', async () => {
    const now = Math.floor(proxy.time.now / 1000)
    const expectStatus = async (over: Record<string, number>, status: number) => {
      const response = await proxy.call(`Bearer ${await proxy.issuer.sign(over)}`)
      await response.body?.cancel()
      expect([over, response.status]).toEqual([over, status])
    }
    await expectStatus({ iat: now + 29 }, 200)
    await expectStatus({ iat: now + 32 }, 401)
    await expectStatus({ nbf: now + 29 }, 200)
    await expectStatus({ nbf: now + 32 }, 401)
    await expectStatus({ exp: now - 28 }, 200)
    await expectStatus({ exp: now - 31 }, 401)
  })

  test('an audience list with us in it passes', async () => {
    const response = await proxy.call(
      `Bearer ${await proxy.issuer.sign({ aud: ['x', proxy.url] })}`,
    )
    expect(response.status).toBe(200)
  })

  test.each([undefined, '', 'openid', 'ocr_api_access_more', 'OCR_API_ACCESS'])(
    'the scope %s is 403 and names the scope that is needed',
    async (scope) => {
      const response = await proxy.call(`Bearer ${await proxy.issuer.sign({ scope })}`)
      expect(response.status).toBe(403)
      const challenge = response.headers.get('www-authenticate')
      expect(challenge).toContain('error="insufficient_scope"')
      expect(challenge).toContain('scope="ocr_api_access"')
    },
  )
})

describe('RFC 7515 §7.1: compact serialization only, one meaning only', () => {
  test('a member that occurs twice is refused, in the payload and in the header', async () => {
    const payload = JSON.stringify(claims()).replace('{', '{"sub":"admin",')
    await expectInvalid(signRaw(HEADER, payload), 'duplicate_member')
    await expectInvalid(
      signRaw(HEADER.replace('{', '{"kid":"x",'), JSON.stringify(claims())),
      'duplicate_member',
    )
    const escaped = JSON.stringify(claims()).replace('{', '{"s\\u0075b":"admin",')
    await expectInvalid(signRaw(HEADER, escaped), 'duplicate_member')
  })

  test('other spellings of a good token are refused', async () => {
    const token = await proxy.issuer.sign()
    expect((await proxy.call(`Bearer ${token}`)).status).toBe(200)
    const last = token.at(-1) ?? ''
    const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
    const spelledOtherwise = alphabet[alphabet.indexOf(last) ^ 1] ?? ''
    await expectInvalid(token.slice(0, -1) + spelledOtherwise, 'base64url_not_canonical')
    await expectInvalid(`${token}=`, 'not_a_compact_jws')
    await expectInvalid(`${token}.${token.split('.')[2]}`, 'not_a_compact_jws')
    await expectInvalid(token.replace('.', '..'), 'not_a_compact_jws')
    await expectInvalid(token.replace('-', '+').replace('_', '/').concat('/'), 'not_a_compact_jws')
    await expectInvalid('a.b.c.d.e', 'not_a_compact_jws')
    await expectInvalid('x'.repeat(9000), 'token_too_long')
  })

  test('what is not a JSON object is refused', async () => {
    await expectInvalid(signRaw('[]', '{}'), 'not_a_json_object')
    await expectInvalid(signRaw(HEADER, 'null'), 'not_a_json_object')
    await expectInvalid(signRaw(HEADER, '{"sub":'), 'not_json')
    const notUtf8 = `${encode(HEADER)}.${Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]).toString('base64url')}.AAAA`
    await expectInvalid(notUtf8, 'not_json')
  })
})

describe('RFC 6750: how the token comes', () => {
  test('no credentials: a challenge without an error, with the resource metadata', async () => {
    const response = await proxy.call()
    expect(response.status).toBe(401)
    const metadata = `resource_metadata="${proxy.url}/.well-known/oauth-protected-resource"`
    expect(response.headers.get('www-authenticate')).toBe(
      `Bearer ${metadata}, DPoP algs="ES256 ES384 ES512 PS256 RS256 Ed25519 EdDSA", ${metadata}`,
    )
    const body = (await response.json()) as Record<string, unknown>
    expect(body).toMatchObject({
      type: 'urn:gatehouse:error:authentication_required',
      status: 401,
      instance: response.headers.get('x-request-id'),
    })
  })

  test('a token in the query or the body is ignored', async () => {
    const token = await proxy.issuer.sign()
    const inQuery = await proxy.call(undefined, {}, `/v1/chat/completions?access_token=${token}`)
    const inBody = await proxy.call(undefined, {
      body: new URLSearchParams({ access_token: token }),
    })
    expect([inQuery.status, inBody.status]).toEqual([401, 401])
  })

  test.each(['Basic cm9ib3Q6cm9ib3Q=', 'Token abc', 'DPoPX abc'])(
    '%s is 401 without an error',
    async (value) => {
      const response = await proxy.call(value)
      expect(response.status).toBe(401)
      expect(response.headers.get('www-authenticate')).not.toContain('error=')
    },
  )

  test.each(['Bearer', 'Bearer a b', 'Bearer a,b'])('%s is a malformed bearer', async (value) => {
    const response = await proxy.call(value)
    expect(response.status).toBe(401)
    expect(response.headers.get('www-authenticate')).toContain('error="invalid_token"')
  })
})

describe('a kid is hostile input', () => {
  test.each([
    '../../etc/passwd',
    "' OR 1=1 --",
    'a\nb',
    'k'.repeat(5000),
    '__proto__',
    'constructor',
  ])('kid %j is unknown, and nothing else', async (kid) => {
    await expectInvalid(await proxy.issuer.sign({}, { kid }), 'unknown_kid')
  })
  test('no kid is refused', async () => {
    await expectInvalid(
      await proxy.issuer.sign({}, { kid: undefined as unknown as string }),
      'no_kid',
    )
  })
})
