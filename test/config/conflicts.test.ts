import { loadConfig } from '../../src/config/load.ts'
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { findConflicts } from '../../src/config/conflicts.ts'
import { configSchema } from '../../src/config/schema.ts'

type Input = Parameters<typeof configSchema.parse>[0]

/** The conflicts of a configuration that is valid setting by setting. */
const conflictsOf = (input: Input) => findConflicts(configSchema.parse(input))

const TLS = { cert: 'cert.pem', key: 'key.pem' }
const LISTENERS = ['issuer', 'admin', 'proxy'] as const

test('the defaults agree with each other', () => {
  expect(conflictsOf({})).toEqual([])
})

describe('a listener off loopback', () => {
  const offLoopback = fc.oneof(
    fc.ipV4().filter((address) => !address.startsWith('127.')),
    fc.constantFrom('0.0.0.0', '[::]', '[fd00::1]', '[::ffff:10.0.0.1]', 'gatehouse', 'a.example'),
  )

  test.each(LISTENERS)('is always refused without TLS or a trusted terminator: %s', (role) => {
    fc.assert(
      fc.property(offLoopback, fc.integer({ min: 0, max: 65_535 }), (host, port) => {
        const listen = `${host}:${port}`
        expect(conflictsOf({ [role]: { listen } })).toEqual([
          `${role}.listen: off loopback it needs ${role}.tls or trustedProxies`,
        ])
        expect(conflictsOf({ [role]: { listen, tls: TLS } })).toEqual([])
        expect(conflictsOf({ [role]: { listen }, trustedProxies: ['10.0.0.1'] })).toEqual([])
      }),
    )
  })

  test.each(LISTENERS)('is not helped by the certificate of another role: %s', (role) => {
    const others = LISTENERS.filter((other) => other !== role)
    const input = Object.fromEntries(others.map((other) => [other, { tls: TLS }]))
    expect(conflictsOf({ ...input, [role]: { listen: '0.0.0.0:1' } })).toHaveLength(1)
  })

  test('is fine on the loopback in every spelling', () => {
    for (const host of ['127.0.0.1', '127.255.0.9', 'localhost', '[::1]']) {
      const listen = `${host}:0`
      expect(conflictsOf({ issuer: { listen }, admin: { listen }, proxy: { listen } })).toEqual([])
    }
  })

  test('is fine without TLS when it is an ops listener, which holds no secret', () => {
    expect(
      conflictsOf({ issuer: { opsListen: '0.0.0.0:1' }, proxy: { opsListen: '[::]:2' } }),
    ).toEqual([])
  })
})

describe('a URL without TLS', () => {
  test.each([
    ['issuer.url', { issuer: { url: 'http://auth.example' } }],
    ['issuer.url', { issuer: { url: 'http://10.0.0.1:9000' } }],
    ['issuer.url', { issuer: { url: 'http://127.evil.example' } }],
    ['proxy.url', { proxy: { url: 'http://ocr.example:8080' } }],
    ['proxy.jwksUrl', { proxy: { jwksUrl: 'http://auth.example/jwks' } }],
  ])('is refused off loopback: %s in %j', (setting, input) => {
    expect(conflictsOf(input)).toEqual([`${setting}: must be https, as it is not on loopback`])
  })

  test.each([
    { issuer: { url: 'http://localhost:1' } },
    { issuer: { url: 'http://127.9.9.9:1' } },
    { issuer: { url: 'http://[::1]:1' } },
    { proxy: { jwksUrl: 'http://localhost/jwks' } },
    { proxy: { upstreams: ['http://gpu-1:8000'] } },
    { issuer: { url: 'https://auth.example' }, proxy: { url: 'https://ocr.example' } },
  ])('is fine on loopback and to the model server: %j', (input) => {
    expect(conflictsOf(input)).toEqual([])
  })

  test('is not excused by a certificate or a trusted terminator', () => {
    const input = { issuer: { url: 'http://auth.example', tls: TLS }, trustedProxies: ['10.0.0.1'] }
    expect(conflictsOf(input)).toHaveLength(1)
  })
})

describe('half a certificate', () => {
  test.each(LISTENERS)('is refused, whichever half: %s', (role) => {
    const expected = [`${role}.tls: needs both cert and key`]
    expect(conflictsOf({ [role]: { tls: { cert: 'cert.pem' } } })).toEqual(expected)
    expect(conflictsOf({ [role]: { tls: { key: 'key.pem' } } })).toEqual(expected)
    expect(conflictsOf({ [role]: { tls: TLS } })).toEqual([])
  })
})

test('a client of the proxy without its key, or a key of no client, is refused', () => {
  const [clientId, clientKeyFile] = ['proxy-1', 'proxy-1.jwk']
  expect(conflictsOf({ proxy: { clientId } })).toEqual([
    'proxy.clientId: needs proxy.clientKeyFile',
  ])
  expect(conflictsOf({ proxy: { clientKeyFile } })).toEqual([
    'proxy.clientKeyFile: needs proxy.clientId',
  ])
  expect(conflictsOf({ proxy: { clientId, clientKeyFile } })).toEqual([])
})

describe('what seals the keys', () => {
  const key = Buffer.alloc(32).toString('base64')
  const passphrase = 'correct horse battery staple'

  test('is one thing, of either kind, with what it was before', () => {
    expect(conflictsOf({ keys: { encryptionKey: key, previousPassphrase: 'short' } })).toEqual([])
    expect(conflictsOf({ keys: { passphrase, previousEncryptionKey: key } })).toEqual([])
    expect(conflictsOf({ keys: { encryptionKey: key, passphrase } })).toEqual([
      'keys.passphrase: keys.encryptionKey is set already',
    ])
  })

  test('does not end by leaving it out', () => {
    expect(conflictsOf({ keys: { previousEncryptionKey: key } })).toEqual([
      'keys.previousEncryptionKey: needs keys.encryptionKey or keys.passphrase for what comes next',
    ])
  })
})

test('several workers count together, in Redis, and each has a slot at least', () => {
  const redis = { redis: { url: 'redis://localhost' } }
  expect(conflictsOf({ proxy: { workers: 2 } })).toEqual([
    'proxy.workers: more than 1 needs redis.url',
  ])
  expect(conflictsOf({ proxy: { workers: 3, maxInFlightPerUpstream: 2 }, ...redis })).toEqual([
    'proxy.workers: more than proxy.maxInFlightPerUpstream',
  ])
  expect(conflictsOf({ proxy: { workers: 2 }, ...redis })).toEqual([])
})

test('what is to go to Redis needs one', () => {
  const settings = { audit: { sink: 'redis' }, revocations: { feed: 'redis' } } as const
  expect(conflictsOf(settings)).toEqual([
    'revocations.feed: redis needs redis.url',
    'audit.sink: redis needs redis.url',
  ])
  const sealed = { keys: { encryptionKey: 'A'.repeat(43) } }
  expect(conflictsOf({ ...settings, ...sealed, redis: { url: 'redis://localhost' } })).toEqual([])
})

test('all conflicts are told at once', () => {
  const conflicts = conflictsOf({
    issuer: { url: 'http://auth.example', listen: '0.0.0.0:1' },
    admin: { tls: { cert: 'cert.pem' } },
    proxy: { url: 'http://ocr.example' },
  })
  expect(conflicts.map((conflict) => conflict.slice(0, conflict.indexOf(':')))).toEqual([
    'issuer.url',
    'proxy.url',
    'issuer.listen',
    'admin.tls',
  ])
})

test('a route that is there twice, or that is the proxy’s own, is refused: which rule counts must be plain', () => {
  const routes = JSON.stringify([
    { method: 'GET', path: '/x', public: true },
    { method: 'GET', path: '/x', scopes: ['ocr_api_access'] },
    { method: 'GET', path: '/.well-known/oauth-protected-resource', public: true },
    { method: 'GET', path: '/_gatehouse/usage', public: true },
    { method: 'GET', path: '/_gatehouse', public: true },
    { method: 'GET', path: '/_gatehouse-like', public: true },
  ])
  expect(loadConfig({ env: {}, set: [`proxy.routes=${routes}`] }).problems).toEqual([
    'proxy.routes: GET /x is there twice',
    'proxy.routes: GET /.well-known/oauth-protected-resource takes what the proxy answers itself',
    'proxy.routes: GET /_gatehouse/usage takes what the proxy answers itself',
    'proxy.routes: GET /_gatehouse takes what the proxy answers itself',
  ])
})

const routesOf = (...paths: string[]) => ({
  proxy: { routes: paths.map((path) => ({ method: 'GET', path, public: true }) as const) },
})

test.each([
  [
    ['/v1/files/{id}', '/v1/files/latest'],
    'one path can be both /v1/files/{id} and /v1/files/latest',
  ],
  [['/v1/{a}/x', '/v1/y/{b}'], 'one path can be both /v1/{a}/x and /v1/y/{b}'],
  [['/a/{b}', '/a/{c}'], 'one path can be both /a/{b} and /a/{c}'],
  [['/{anything}'], 'GET /{anything} takes what the proxy answers itself'],
  [['/.well-known/{x}'], 'GET /.well-known/{x} takes what the proxy answers itself'],
])('a table in which one path could be two routes is refused: %j', (paths, problem) => {
  expect(conflictsOf(routesOf(...paths))).toEqual([`proxy.routes: ${problem}`])
})

test('patterns that no path can confuse are fine', () => {
  const paths = ['/v1/files', '/v1/files/', '/v1/files/{id}', '/v1/files/{id}/content', '/v2/{x}']
  expect(conflictsOf(routesOf(...paths))).toEqual([])
})

test.each(['/a/../b', '/./a', '/a//b', '/a/..', '/a\\b', '/a/{b', '/a/x{b}', '/a/{}', '/a/{1}'])(
  'a path that can be read in more than one way is no route: %s',
  (path) => {
    expect(() => conflictsOf(routesOf(path))).toThrow()
  },
)
