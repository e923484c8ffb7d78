import { exportJWK, generateKeyPair, SignJWT } from 'jose'
import { randomUUID } from 'node:crypto'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { createClientJwksFetch, type ClientJwksOptions } from '../../src/issuer/client-jwks.ts'
import {
  FOR_LOCALHOST,
  hasOpenssl,
  makeCertificate,
  type Certified,
} from '../support/certificates.ts'
import { startGatehouse, type Gatehouse } from '../support/gatehouse.ts'
import { createTestLog } from '../support/log-lines.ts'

type Respond = (req: IncomingMessage, res: ServerResponse) => void

/** A server on loopback that counts who comes, and answers with one key until it is told otherwise. */
async function startKeyServer(jwk: object, tls?: Certified) {
  let hits = 0
  let respond: Respond = (_req, res) => res.end(JSON.stringify({ keys: [jwk] }))
  const handle: Respond = (req, res) => {
    hits += 1
    respond(req, res)
  }
  const server: Server = tls === undefined ? createServer(handle) : createTlsServer(tls, handle)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    port: (server.address() as AddressInfo).port,
    hits: () => hits,
    answer: (next: Respond) => {
      respond = next
    },
    close: () => {
      server.closeAllConnections()
      return new Promise((resolve) => server.close(resolve))
    },
  }
}
type KeyServer = Awaited<ReturnType<typeof startKeyServer>>

let jwk: object
let privateKey: CryptoKey
beforeAll(async () => {
  const pair = await generateKeyPair('ES256')
  privateKey = pair.privateKey
  jwk = { ...(await exportJWK(pair.publicKey)), kid: 'k' }
})

/** How many keys come from there, and what the log says of it. */
async function keysAt(url: string, options: Partial<ClientJwksOptions> = {}) {
  const { log, lines } = createTestLog()
  const fetchJwks = createClientJwksFetch({
    allowsLoopback: false,
    clock: Date.now,
    log,
    ...options,
  })
  const { keys } = (await (await fetchJwks(url)).json()) as { keys: unknown[] }
  return { keys: keys.length, log: lines.join('') }
}

describe('CWE-918: the jwks_uri of a client on a real issuer', () => {
  let server: KeyServer
  beforeEach(async () => {
    server = await startKeyServer(jwk)
  })
  afterEach(() => server.close())

  test.each([
    ['127.0.0.1'],
    ['localhost'],
    ['LOCALHOST'],
    ['2130706433'],
    ['0x7f000001'],
    ['017700000001'],
    ['127.1'],
    ['0'],
    ['[::1]'],
    ['[::]'],
    ['[::ffff:127.0.0.1]'],
    ['[::ffff:7f00:1]'],
    ['[64:ff9b::7f00:1]'],
    ['[2002:7f00:1::]'],
    ['[fe80::1]'],
    ['[fc00::1]'],
    ['10.0.0.1'],
    ['172.16.0.1'],
    ['192.168.1.1'],
    ['100.64.0.1'],
    ['169.254.169.254'],
    ['[fd00:ec2::254]'],
    ['224.0.0.1'],
    ['255.255.255.255'],
  ])('https://%s is not connected to', async (host) => {
    const found = await keysAt(`https://${host}:${server.port}/jwks`)
    expect(found).toMatchObject({ keys: 0 })
    expect(found.log).toContain('not a public one')
    expect(server.hits()).toBe(0)
  })

  test.each(['http://example.com/jwks', 'ftp://example.com/jwks', 'file:///etc/passwd'])(
    '%s is not https',
    async (url) => {
      const found = await keysAt(url, { resolve: async () => ['93.184.215.14'] })
      expect(found.log).toContain('only https is fetched')
    },
  )

  test.each([
    [['127.0.0.1']],
    [['10.1.2.3']],
    [['::1']],
    [['::ffff:10.1.2.3']],
    [['93.184.215.14', '127.0.0.1']],
    [['not an address']],
  ])('a name that leads to %j is not connected to', async (addresses) => {
    const url = `https://keys.example:${server.port}/`
    const found = await keysAt(url, { resolve: async () => addresses })
    expect(found.log).toContain('not a public one')
    expect(server.hits()).toBe(0)
  })

  test('the log names where, and never a path or query', async () => {
    const { log } = await keysAt('https://10.0.0.1/path?secret=1')
    expect(log).toContain('https://10.0.0.1')
    expect(log).not.toContain('secret')
    expect(log).not.toContain('path')
  })
})

describe('an issuer on loopback reads the keys of clients on this machine', () => {
  let server: KeyServer
  beforeEach(async () => {
    server = await startKeyServer(jwk)
  })
  afterEach(() => server.close())
  const local = (options: Partial<ClientJwksOptions> = {}) =>
    keysAt(`http://localhost:${server.port}/jwks`, { allowsLoopback: true, ...options })

  test('over http, and from no other private address', async () => {
    expect(await local()).toMatchObject({ keys: 1 })
    for (const url of ['https://10.0.0.1/', 'http://169.254.169.254/', 'https://keys.example/']) {
      const found = await keysAt(url, { allowsLoopback: true, resolve: async () => ['127.0.0.1'] })
      expect(found.log).toMatch(/not a public one|only https/)
    }
    expect(await local({ resolve: async () => ['10.0.0.1'] })).toMatchObject({ keys: 0 })
  })

  test('asks for an address once, so that it cannot change between the check and the connection', async () => {
    const answers = ['127.0.0.1', '10.0.0.1']
    const found = await local({ resolve: async () => [answers.shift() ?? ''] })
    expect([found.keys, answers]).toEqual([1, ['10.0.0.1']])
  })

  test.each([301, 302, 303, 307, 308])('a %i is not followed', async (status) => {
    const inner = await startKeyServer(jwk)
    const location = `http://127.0.0.1:${inner.port}/jwks`
    server.answer((_req, res) => void res.writeHead(status, { location }).end())
    const found = await local()
    expect(found.log).toContain(`the answer is ${status}`)
    expect(inner.hits()).toBe(0)
    await inner.close()
  })

  test('what is too large, never ends, is no JWKS or is an error, gives no keys', async () => {
    const answers: [Respond, string][] = [
      [
        (_req, res) => void res.end(JSON.stringify({ keys: [jwk], pad: 'x'.repeat(70_000) })),
        'larger',
      ],
      [(_req, res) => void res.write('x'.repeat(70_000)), 'larger'],
      [(_req, res) => void res.end('<html>'), 'no JWK Set'],
      [(_req, res) => void res.end('{"keys":{}}'), 'no JWK Set'],
      [(_req, res) => void res.writeHead(500).end(), 'the answer is 500'],
      [(_req, res) => void res.destroy(), 'client.jwks_failed'],
    ]
    for (const [respond, why] of answers) {
      server.answer(respond)
      const found = await local()
      expect(found.keys).toBe(0)
      expect(found.log).toContain(why)
    }
  })

  test('an answer that drips, or a name server that does not answer, is not waited for', async () => {
    server.answer((_req, res) => void res.write('{'))
    const [slow, lost] = await Promise.all([
      local(),
      local({ resolve: () => new Promise(() => undefined) }),
    ])
    expect([slow.keys, lost.keys]).toEqual([0, 0])
  })

  test('a key that a client could not have registered is left out', async () => {
    const small = { kty: 'RSA', n: 'AQAB'.repeat(20), e: 'AQAB' }
    const keys = [jwk, small, { ...jwk, d: 'secret' }, { kty: 'oct', k: 'c2VjcmV0' }, 'key']
    server.answer((_req, res) => void res.end(JSON.stringify({ keys })))
    expect(await local()).toMatchObject({ keys: 1 })
  })

  test('many requests are one, a failure counts for a minute, and no key for longer than five', async () => {
    let now = Date.now()
    const fetchJwks = createClientJwksFetch({
      allowsLoopback: true,
      clock: () => now,
      log: createTestLog().log,
    })
    const url = `http://127.0.0.1:${server.port}/`
    const ask = () => Promise.all(Array.from({ length: 20 }, () => fetchJwks(url)))
    server.answer((_req, res) => void res.writeHead(500).end())
    await ask()
    now += 59_000
    await ask()
    expect(server.hits()).toBe(1)
    server.answer((_req, res) => {
      res.setHeader('cache-control', 'max-age=31536000').end(JSON.stringify({ keys: [jwk] }))
    })
    now += 1000
    const [answer] = await ask()
    expect(answer?.headers.get('cache-control')).toBe('max-age=300')
    now += 299_000
    await ask()
    expect(server.hits()).toBe(2)
    now += 1000
    await ask()
    expect(server.hits()).toBe(3)
  })
})

describe.skipIf(!hasOpenssl)('a jwks_uri over TLS', () => {
  let server: KeyServer
  let certified: Certified
  beforeAll(async () => {
    certified = await makeCertificate({ subject: '/CN=localhost', extensions: FOR_LOCALHOST })
    server = await startKeyServer(jwk, certified)
  })
  afterAll(() => server.close())

  test('must come from whom its name says', async () => {
    const at = (host: string, ca?: string) =>
      keysAt(`https://${host}:${server.port}/`, {
        allowsLoopback: true,
        ...(ca === undefined ? {} : { ca }),
      })
    expect(await at('localhost', certified.cert)).toMatchObject({ keys: 1 })
    expect(await at('localhost')).toMatchObject({ keys: 0 })
    expect(await at('127.0.0.2', certified.cert)).toMatchObject({ keys: 0 })
  })
})

describe('private_key_jwt with a jwks_uri', () => {
  let server: KeyServer
  let gatehouse: Gatehouse
  beforeAll(async () => {
    server = await startKeyServer(jwk)
    gatehouse = await startGatehouse('http://localhost:1')
  })
  afterAll(() => Promise.all([server.close(), gatehouse.close()]))

  async function authenticate(jwksUri: string) {
    const { clientId } = await gatehouse.createClient({
      token_endpoint_auth_method: 'private_key_jwt',
      jwks_uri: jwksUri,
    })
    const { url } = gatehouse.config.issuer
    const assertion = await new SignJWT({ jti: randomUUID() })
      .setProtectedHeader({ alg: 'ES256', kid: 'k' })
      .setIssuer(clientId)
      .setSubject(clientId)
      .setAudience(url)
      .setExpirationTime('1m')
      .sign(privateKey)
    const response = await fetch(`${url}/token`, {
      method: 'POST',
      body: new URLSearchParams({
        grant_type: 'client_credentials',
        client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
        client_assertion: assertion,
      }),
    })
    const { error } = (await response.json()) as { error?: string }
    return [response.status, error]
  }

  test('authenticates by the keys that are there, and is refused when there are none', async () => {
    expect(await authenticate(`http://localhost:${server.port}/jwks`)).toEqual([200, undefined])
    expect(await authenticate('http://localhost:1/jwks')).toEqual([401, 'invalid_client'])
    expect(await authenticate('https://10.0.0.1/jwks')).toEqual([401, 'invalid_client'])
  })
})
