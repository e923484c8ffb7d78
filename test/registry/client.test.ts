import * as fc from 'fast-check'
import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { clientUpdateSchema, newClientSchema } from '../../src/registry/client.ts'

const jwkOf = ({ publicKey }: { publicKey: KeyObject }) => publicKey.export({ format: 'jwk' })
const rsa = (modulusLength: number, publicExponent = 65_537) =>
  jwkOf(generateKeyPairSync('rsa', { modulusLength, publicExponent }))
const ec = (namedCurve: string) => jwkOf(generateKeyPairSync('ec', { namedCurve }))

const RSA_2048 = rsa(2048)
const P_256 = ec('P-256')
const P_384 = ec('P-384')
const ED25519 = jwkOf(generateKeyPairSync('ed25519'))
const KEYS = { jwks: { keys: [RSA_2048] } }
const byJwt = (...keys: object[]) => ({
  token_endpoint_auth_method: 'private_key_jwt',
  jwks: { keys },
})
const CODE = { grant_types: ['authorization_code'], redirect_uris: ['https://a.example/cb'] }

/** The members that are complained about. */
function problemsOf(request: object): string[] {
  const parsed = newClientSchema.safeParse(request)
  return parsed.success ? [] : parsed.error.issues.map(({ path }) => path.join('.'))
}

test('nothing is needed to ask for a client', () => {
  expect(newClientSchema.parse({})).toEqual({
    tenant_id: 'default',
    name: '',
    scope: 'ocr_api_access',
    grant_types: ['client_credentials'],
    token_endpoint_auth_method: 'client_secret_basic',
    redirect_uris: [],
    post_logout_redirect_uris: [],
    require_pushed_authorization_requests: false,
    dpop_bound_access_tokens: false,
    tls_client_certificate_bound_access_tokens: false,
    client_credentials_refresh: false,
  })
})

describe('a client may have', () => {
  test.each([
    ['a key to sign with', byJwt(RSA_2048)],
    ['an elliptic key', byJwt({ ...P_256, kid: 'a', alg: 'ES256', use: 'sig' })],
    ['an Edwards key, by either name of its algorithm', byJwt({ ...ED25519, alg: 'EdDSA' })],
    ['a key for something else beside one to sign with', byJwt(P_384, ED25519)],
    [
      'a certificate on a larger curve',
      {
        token_endpoint_auth_method: 'self_signed_tls_client_auth',
        jwks: { keys: [{ ...P_384, x5c: ['MIIB'] }] },
      },
    ],
    [
      'a certificate',
      { token_endpoint_auth_method: 'tls_client_auth', tls_client_auth_subject_dn: 'CN=a' },
    ],
    ['a sign-in without credentials', { ...CODE, token_endpoint_auth_method: 'none' }],
    [
      'a redirect to loopback',
      { ...CODE, redirect_uris: ['http://127.0.0.1:1234/cb', 'http://[::1]/cb'] },
    ],
    [
      'a device and refresh tokens',
      { grant_types: ['urn:ietf:params:oauth:grant-type:device_code', 'refresh_token'] },
    ],
    ['refresh tokens of its own', { client_credentials_refresh: true }],
    ['a resource that is no URL', { resources: ['urn:example:archive'] }],
  ])('%s', (_what, request) => {
    expect(problemsOf(request)).toEqual([])
  })
})

describe('a client may not have', () => {
  test.each([
    ['private_key_jwt without a key', { token_endpoint_auth_method: 'private_key_jwt' }, 'jwks'],
    [
      'two places for its keys',
      {
        token_endpoint_auth_method: 'private_key_jwt',
        ...KEYS,
        jwks_uri: 'https://a.example/jwks',
      },
      'jwks_uri',
    ],
    ['a private key', byJwt({ ...RSA_2048, d: 'AA' }), 'jwks.keys.0'],
    ['a private member of another kind of key', byJwt({ ...P_256, k: 'AA' }), 'jwks.keys.0'],
    ['a symmetric key', byJwt({ kty: 'oct', k: 'AA' }), 'jwks.keys.0.kty'],
    ['a short RSA key', byJwt(rsa(2040)), 'jwks.keys.0'],
    [
      'a short RSA key with zeros before it',
      byJwt({ ...RSA_2048, n: Buffer.alloc(256, 1).fill(0, 0, 64).toString('base64url') }),
      'jwks.keys.0',
    ],
    ['an enormous RSA key', byJwt({ ...RSA_2048, n: '_'.repeat(1400) }), 'jwks.keys.0'],
    ['an RSA key with the exponent 1', byJwt({ ...RSA_2048, e: 'AQ' }), 'jwks.keys.0'],
    ['an RSA key with an even exponent', byJwt({ ...RSA_2048, e: 'AQAA' }), 'jwks.keys.0'],
    ['an RSA key with a slow exponent', byJwt({ ...RSA_2048, e: '_'.repeat(10) }), 'jwks.keys.0'],
    ['a key on secp256k1', byJwt(ec('secp256k1')), 'jwks.keys.0.crv'],
    ['a key on P-192', byJwt({ ...P_256, crv: 'P-192' }), 'jwks.keys.0.crv'],
    ['a key on a curve of an object', byJwt({ ...P_256, crv: 'toString' }), 'jwks.keys.0.crv'],
    ['a key that only agrees on keys', byJwt({ ...ED25519, crv: 'X25519' }), 'jwks.keys.0.crv'],
    ['a point beside its curve', byJwt({ ...P_256, y: P_256.x }), 'jwks.keys.0'],
    ['the alg of another curve', byJwt({ ...P_256, alg: 'ES384' }), 'jwks.keys.0'],
    ['the alg of another kind of key', byJwt({ ...RSA_2048, alg: 'ES256' }), 'jwks.keys.0'],
    ['an alg of no key', byJwt({ ...RSA_2048, alg: 'none' }), 'jwks.keys.0'],
    ['a symmetric alg', byJwt({ ...RSA_2048, alg: 'HS256' }), 'jwks.keys.0'],
    [
      'a certificate of its own that is not there',
      { token_endpoint_auth_method: 'self_signed_tls_client_auth', jwks: { keys: [P_256] } },
      'jwks',
    ],
    ['only a key that the issuer takes no signature of', byJwt(P_384), 'jwks'],
    ['only a key to encrypt with', byJwt({ ...RSA_2048, use: 'enc' }), 'jwks'],
    [
      'tls_client_auth without a subject',
      { token_endpoint_auth_method: 'tls_client_auth' },
      'tls_client_auth_subject_dn',
    ],
    [
      'a certificate subject that says nothing',
      { tls_client_auth_san_dns: 'a.example' },
      'tls_client_auth_san_dns',
    ],
    [
      'client credentials without credentials',
      { token_endpoint_auth_method: 'none' },
      'grant_types',
    ],
    ['a sign-in without a redirect', { grant_types: ['authorization_code'] }, 'redirect_uris'],
    [
      'a redirect in the clear',
      { ...CODE, redirect_uris: ['http://a.example/cb'] },
      'redirect_uris.0',
    ],
    [
      'a redirect with a fragment',
      { ...CODE, redirect_uris: ['https://a.example/#x'] },
      'redirect_uris.0',
    ],
    [
      'a redirect to a name like loopback',
      { ...CODE, redirect_uris: ['http://127.0.0.1.evil.example/'] },
      'redirect_uris.0',
    ],
    [
      'a script as a redirect',
      { ...CODE, redirect_uris: ['javascript:alert(1)'] },
      'redirect_uris.0',
    ],
    ['refresh tokens of nobody', { grant_types: ['refresh_token'] }, 'grant_types'],
    ['a password grant', { grant_types: ['password'] }, 'grant_types.0'],
    ['a limit of nothing', { limits: { rpm: 0 } }, 'limits.rpm'],
    ['an unknown member', { is_admin: true }, ''],
    ['a name with a line feed', { name: 'a\nb' }, 'name'],
    ['a scope with two spaces', { scope: 'a  b' }, 'scope'],
  ])('%s', (_what, request, member) => {
    expect(problemsOf(request)).toEqual([member])
  })

  test.each(['.', '..'])('the id %s, which as a part of a URL means another place', (id) => {
    expect(problemsOf({ client_id: id })).not.toEqual([])
    expect(problemsOf({ client_id: `${id}a` })).toEqual([])
  })

  test.each(['\u0000', '\n', '\u009b', '\ud800'])('a name with %j in it', (character) => {
    expect(problemsOf({ name: `a${character}b` })).not.toEqual([])
  })

  test('an id that is not URL-safe', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), (id) => {
        const isGood = problemsOf({ client_id: id }).length === 0
        expect(isGood).toBe(
          id.length > 0 &&
            id.length <= 128 &&
            encodeURIComponent(id) === id &&
            !/^\.{1,2}$|[!'()*]/.test(id),
        )
      }),
    )
  })
})

test('an update may change no id and no tenant', () => {
  expect(clientUpdateSchema.safeParse({ client_id: 'b' }).success).toBe(false)
  expect(clientUpdateSchema.safeParse({ tenant_id: 'b' }).success).toBe(false)
  expect(clientUpdateSchema.safeParse({ status: 'active' }).success).toBe(false)
  expect(clientUpdateSchema.parse({})).toEqual({})
})
