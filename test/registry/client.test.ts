import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { clientUpdateSchema, newClientSchema } from '../../src/registry/client.ts'

const RSA_2048 = { kty: 'RSA', n: 'A'.repeat(342), e: 'AQAB' }
const KEYS = { jwks: { keys: [RSA_2048] } }
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
    ['a key to sign with', { token_endpoint_auth_method: 'private_key_jwt', ...KEYS }],
    [
      'an elliptic key',
      {
        token_endpoint_auth_method: 'private_key_jwt',
        jwks: { keys: [{ kty: 'EC', crv: 'P-256', x: 'AA', y: 'AA', kid: 'a', alg: 'ES256' }] },
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
    ['a private key', { jwks: { keys: [{ ...RSA_2048, d: 'AA' }] } }, 'jwks.keys.0'],
    ['a symmetric key', { jwks: { keys: [{ kty: 'oct', k: 'AA' }] } }, 'jwks.keys.0.kty'],
    ['a short RSA key', { jwks: { keys: [{ ...RSA_2048, n: 'AAAA' }] } }, 'jwks.keys.0'],
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

  test('an id that is not URL-safe', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), (id) => {
        const isGood = problemsOf({ client_id: id }).length === 0
        expect(isGood).toBe(
          id.length > 0 && id.length <= 128 && encodeURIComponent(id) === id && !/[!'()*]/.test(id),
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
