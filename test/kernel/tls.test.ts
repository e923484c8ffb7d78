import { once } from 'node:events'
import { BlockList } from 'node:net'
import { text } from 'node:stream/consumers'
import { connect, type ConnectionOptions, type TLSSocket } from 'node:tls'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  startHttpServer,
  type HttpServer,
  type HttpServerOptions,
} from '../../src/kernel/http-server.ts'
import {
  AUTHORITY,
  FOR_CLIENTS,
  FOR_LOCALHOST,
  hasOpenssl,
  makeCertificate,
  type Certified,
} from '../support/certificates.ts'
import { createTestLog } from '../support/log-lines.ts'
import { openRawConnection, parseRawAnswer } from '../support/raw-connection.ts'

const { log } = createTestLog()
const servers: HttpServer[] = []
afterAll(() => Promise.all(servers.map((server) => server.drain(0))))

async function start(options: Partial<HttpServerOptions>): Promise<HttpServer> {
  const server = await startHttpServer({
    name: 'test.listen',
    listen: { host: '127.0.0.1', port: 0 },
    handle: (req, res) => {
      if (req.url === '/mine') return void res.writeHead(404, ['a', 'b']).end()
      if (req.url === '/other') return void res.writeHead(200, { a: 'b' }).end()
      const socket = req.socket as TLSSocket
      const peer = socket.getPeerCertificate?.().subject?.CN ?? 'nobody'
      return void res.end([peer, socket.authorized].join(' '))
    },
    log,
    ...options,
  })
  servers.push(server)
  return server
}

const GET = 'GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n'

type Asked = {
  refused?: string | undefined
  protocol?: string | null
  cipher?: string
  alpn?: string | false | null
  subject?: string | string[] | undefined
  isResumed?: boolean
  headers?: Record<string, string>
  body?: string
  session?: Buffer | undefined
}

/** What a client that may do what the options say gets: an answer, or the code with which there was none. */
async function ask(
  server: HttpServer,
  options: ConnectionOptions = {},
  message = GET,
): Promise<Asked> {
  const socket = connect({
    ...server.address,
    servername: 'localhost',
    rejectUnauthorized: false,
    ...options,
  })
  let session: Buffer | undefined
  socket.on('session', (next) => (session = next))
  try {
    await once(socket, 'secureConnect')
    const facts = {
      protocol: socket.getProtocol(),
      cipher: socket.getCipher().name,
      alpn: socket.alpnProtocol,
      subject: socket.getPeerCertificate().subject?.CN,
      isResumed: socket.isSessionReused(),
    }
    socket.write(message)
    const { headers, body } = parseRawAnswer(await text(socket))
    return { ...facts, headers, body, session }
  } catch (error) {
    return { refused: (error as NodeJS.ErrnoException).code }
  } finally {
    socket.destroy()
  }
}

describe.skipIf(!hasOpenssl)('a listener with TLS', () => {
  let ca: Certified
  let otherCa: Certified
  let first: Certified
  let second: Certified
  let server: HttpServer
  beforeAll(async () => {
    ca = await makeCertificate({ subject: '/CN=authority', extensions: AUTHORITY })
    otherCa = await makeCertificate({ subject: '/CN=other', extensions: AUTHORITY })
    first = await makeCertificate({ subject: '/CN=first', extensions: FOR_LOCALHOST })
    second = await makeCertificate({ subject: '/CN=second', extensions: FOR_LOCALHOST })
    server = await start({ tls: first })
  })

  test('speaks TLS 1.3, and TLS 1.2 with who does not, and HTTP/1.1 in both', async () => {
    const ALPNProtocols = ['h2', 'http/1.1']
    expect(await ask(server, { ALPNProtocols })).toMatchObject({
      protocol: 'TLSv1.3',
      alpn: 'http/1.1',
    })
    expect(await ask(server, { ALPNProtocols, maxVersion: 'TLSv1.2' })).toMatchObject({
      protocol: 'TLSv1.2',
      cipher: 'ECDHE-ECDSA-AES128-GCM-SHA256',
      alpn: 'http/1.1',
    })
  })

  test('begins with a key exchange that is safe from a quantum computer where the client can, too', async () => {
    expect(await ask(server, { ecdhCurve: 'X25519MLKEM768' })).toMatchObject({ subject: 'first' })
  })

  const weak: ConnectionOptions = { minVersion: 'TLSv1', ciphers: 'ALL:@SECLEVEL=0' }
  test.each<[string, ConnectionOptions]>([
    ['TLS 1.1', { ...weak, maxVersion: 'TLSv1.1' }],
    ['TLS 1.0', { ...weak, maxVersion: 'TLSv1' }],
    ['CBC', { maxVersion: 'TLSv1.2', ciphers: 'ECDHE-ECDSA-AES256-SHA384' }],
    ['no forward secrecy', { maxVersion: 'TLSv1.2', ciphers: 'AES128-GCM-SHA256' }],
    ['finite-field DH', { maxVersion: 'TLSv1.2', ciphers: 'DHE-RSA-AES128-GCM-SHA256' }],
    ['CCM', { ciphers: 'TLS_AES_128_CCM_SHA256' }],
    ['SHA-1', { ...weak, maxVersion: 'TLSv1.2', sigalgs: 'ECDSA+SHA1' }],
    ['an odd curve', { ecdhCurve: 'brainpoolP256r1tls13:secp256k1' }],
    ['HTTP/2 alone', { ALPNProtocols: ['h2'] }],
  ])('has nothing in common with a client that knows only %s', async (_title, options) => {
    expect(await ask(server, options)).toEqual({ refused: expect.stringMatching(/^ERR_SSL_/) })
  })

  test('CVE-2011-1473: never negotiates a session anew', async () => {
    const socket = connect({
      ...server.address,
      rejectUnauthorized: false,
      maxVersion: 'TLSv1.2',
    })
    await once(socket, 'secureConnect')
    const error = await new Promise<Error | null>((resolve) => {
      socket.on('error', resolve)
      socket.renegotiate({}, resolve)
    })
    socket.destroy()
    expect(error).toMatchObject({ code: 'ERR_SSL_NO_RENEGOTIATION' })
  })

  test('cuts a handshake that does not go on', async () => {
    const slow = await start({ tls: first, headersTimeoutSeconds: 0.1 })
    const connection = await openRawConnection(slow.address.port)
    expect(await connection.ends()).not.toContain('HTTP/')
  })

  test('shows another certificate from one connection to the next, and resumes no session of before', async () => {
    const own = await start({ tls: first })
    const before = await ask(own)
    expect(before).toMatchObject({ subject: 'first', isResumed: false })
    expect(await ask(own, { session: before.session })).toMatchObject({ isResumed: true })
    own.renewTls(second)
    const after = await ask(own, { session: before.session, maxVersion: 'TLSv1.3' })
    expect(after).toMatchObject({ subject: 'second', isResumed: false })
  })

  test.each(['TLSv1.2', 'TLSv1.3'] as const)(
    'believes other authorities from one connection to the next, in what it resumes by %s as well',
    async (maxVersion) => {
      const client = await makeCertificate({
        subject: '/CN=robot',
        extensions: FOR_CLIENTS,
        by: ca,
      })
      const own = await start({ tls: { ...first, clientCa: ca.cert } })
      const identity = { cert: client.cert, key: client.key, maxVersion }
      const known = await ask(own, identity)
      expect(known.body).toBe('robot true')
      const resumed = await ask(own, { ...identity, session: known.session })
      expect(resumed).toMatchObject({ isResumed: true, body: 'robot true' })

      own.renewTls({ ...first, clientCa: otherCa.cert })
      const after = await ask(own, { ...identity, session: known.session })
      expect(after).toMatchObject({ isResumed: false, body: 'robot false' })

      own.renewTls(first)
      expect((await ask(own, identity)).body).toBe('robot true')
    },
  )

  test('takes a session of another process of its kind for a new one', async () => {
    const { session } = await ask(server)
    const other = await start({ tls: first })
    expect(await ask(other, { session })).toMatchObject({ isResumed: false, subject: 'first' })
  })
})

const STRICT = 'max-age=31536000'
const strictIn = ({ headers }: Asked) => headers?.['strict-transport-security']
const request = (line: string, ...headers: string[]) =>
  [line, 'Host: localhost', 'Connection: close', ...headers, '', ''].join('\r\n')

describe('RFC 6797: Strict-Transport-Security', () => {
  test.skipIf(!hasOpenssl).each([
    ['an answer', request('GET / HTTP/1.1')],
    ['one with headers as a list', request('GET /mine HTTP/1.1')],
    ['one with headers as an object', request('GET /other HTTP/1.1')],
    ['a refusal of what is no HTTP', 'garbage\r\n\r\n'],
    ['a refusal of a request without a host', 'GET / HTTP/1.1\r\n\r\n'],
    ['a refusal of an expectation', request('GET / HTTP/1.1', 'Expect: 200-maybe')],
    ['a refusal of a tunnel', request('CONNECT a:443 HTTP/1.1')],
    [
      'a refusal of an upgrade',
      request('GET / HTTP/1.1', 'Upgrade: websocket').replace('close', 'upgrade'),
    ],
  ])('is in %s over TLS', async (_title, message) => {
    const certified = await makeCertificate({ subject: '/CN=a', extensions: FOR_LOCALHOST })
    expect(strictIn(await ask(await start({ tls: certified }), {}, message))).toBe(STRICT)
  })

  const local = new BlockList()
  local.addAddress('127.0.0.1')
  const other = new BlockList()
  other.addAddress('192.0.2.1')
  const http = (proto?: string) =>
    request('GET /other HTTP/1.1', ...(proto ? [`X-Forwarded-Proto: ${proto}`] : []))

  test.each([
    ['from https through a terminator', 'https', { terminators: local }, [200, STRICT]],
    ['the same on loopback', 'https', { terminators: local, servesPlain: true }, [200, STRICT]],
    ['from http through a terminator', 'http', { terminators: local }, [403, undefined]],
    ['plain on loopback', undefined, { terminators: local, servesPlain: true }, [200, undefined]],
    ['that claims to be from https', 'https', {}, [200, undefined]],
    [
      'that claims so to a listener with another terminator',
      'https',
      { terminators: other, servesPlain: true },
      [200, undefined],
    ],
    [
      'that claims so where only the terminator may come',
      'https',
      { terminators: other },
      [403, undefined],
    ],
  ])('answers a request %s as it came', async (_title, proto, options, expected) => {
    const connection = await openRawConnection((await start(options)).address.port)
    connection.send(http(proto))
    const answer = parseRawAnswer(await connection.ends())
    expect([answer.status, answer.headers['strict-transport-security']]).toEqual(expected)
  })
})
