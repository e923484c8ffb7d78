import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http'
import { request as requestTls } from 'node:https'
import { BlockList } from 'node:net'
import { networkInterfaces } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { connect as connectTls } from 'node:tls'
import { afterAll, describe, expect, test } from 'vitest'
import { ConfigError } from '../../src/kernel/errors.ts'
import {
  startHttpServer,
  type HttpServer,
  type HttpServerOptions,
} from '../../src/kernel/http-server.ts'
import { hasOpenssl } from '../support/certificates.ts'
import { createTestLog } from '../support/log-lines.ts'
import { openRawConnection, parseRawAnswer, type RawConnection } from '../support/raw-connection.ts'
import { useTempFolders } from '../support/temp-folders.ts'

const { log } = createTestLog()
const newFolder = useTempFolders()
// The tests share no server, so most of them run beside each other.
const servers: HttpServer[] = []
const connections: RawConnection[] = []

afterAll(async () => {
  for (const { socket } of connections.splice(0)) socket.destroy()
  await Promise.all(servers.splice(0).map((server) => server.drain(0)))
})

const answerOk: RequestListener = (_req, res) => void res.end('ok')

async function start(options: Partial<HttpServerOptions> = {}): Promise<HttpServer> {
  const server = await startHttpServer({
    name: 'test.listen',
    listen: { host: '127.0.0.1', port: 0 },
    handle: answerOk,
    log,
    ...options,
  })
  servers.push(server)
  return server
}

async function open(server: HttpServer, options?: { staysOpen: boolean }): Promise<RawConnection> {
  const connection = await openRawConnection(server.address.port, options)
  connections.push(connection)
  return connection
}

/** Sends bytes and gives what came until the server closed. */
async function exchange(server: HttpServer, bytes: string): Promise<string> {
  const connection = await open(server)
  connection.send(bytes)
  return connection.ends()
}

const urlOf = (server: HttpServer) => `http://127.0.0.1:${server.address.port}`
const GET = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n'
const UPGRADE = 'GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n'
const CONNECT = 'CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n'

/** An answer's problem, and what of its headers has to agree with it. */
function readProblem(received: string) {
  const { status, headers, body } = parseRawAnswer(received)
  const problem = (body.startsWith('{') ? JSON.parse(body) : {}) as { instance?: string }
  return {
    status,
    headers,
    problem,
    hasWholeBody: headers['content-length'] === String(Buffer.byteLength(body)),
    namesItsRequest: problem.instance === headers['x-request-id'],
  }
}

/** What `readProblem` gives for a complete problem of that code on a connection that ends with it. */
function completeProblem(status: number, code: string) {
  return {
    status,
    headers: {
      'content-type': 'application/problem+json',
      'cache-control': 'no-store',
      connection: 'close',
      'x-request-id': expect.stringMatching(/^[0-9a-f-]{36}$/) as string,
    },
    problem: { type: `urn:gatehouse:error:${code}`, status, error: { code } },
    hasWholeBody: true,
    namesItsRequest: true,
  }
}

/** Keeps requests waiting until it is told to answer them. */
function holdRequests() {
  const held: ServerResponse[] = []
  let onArrival: () => void = () => {}
  const arrived = new Promise<void>((resolve) => {
    onArrival = resolve
  })
  const handle = (_req: IncomingMessage, res: ServerResponse) => {
    held.push(res)
    onArrival()
  }
  return { handle, arrived, answerAll: () => held.forEach((res) => res.end('finished')) }
}

describe.concurrent('a listener', () => {
  test('says where it listens in truth when any port was asked for', async () => {
    const server = await start()
    expect(server.name).toBe('test.listen')
    expect(server.address.host).toBe('127.0.0.1')
    expect(server.address.port).toBeGreaterThan(0)
    const response = await fetch(urlOf(server))
    expect(await response.text()).toBe('ok')
  })

  test('on a port that is taken is a ConfigError that names the setting and the address', async () => {
    const { address } = await start()
    const error: unknown = await start({ name: 'proxy.listen', listen: address }).catch(
      (error: unknown) => error,
    )
    expect(error).toBeInstanceOf(ConfigError)
    expect((error as ConfigError).problems).toEqual([
      `proxy.listen: cannot use 127.0.0.1:${address.port}, something else listens there`,
    ])
    expect((error as ConfigError).hint).toContain('proxy.listen')
  })

  test('on an address that is not of this machine is a ConfigError that names the setting', async () => {
    // 192.0.2.0/24 is TEST-NET-1 (RFC 5737): no machine has it.
    const starting = start({ name: 'issuer.listen', listen: { host: '192.0.2.1', port: 0 } })
    const error: unknown = await starting.catch((error: unknown) => error)
    expect(error).toBeInstanceOf(ConfigError)
    expect((error as ConfigError).problems).toEqual([
      expect.stringMatching(/^issuer\.listen: .*192\.0\.2\.1:0/),
    ])
  })
})

describe.concurrent('what is not a request', () => {
  test.each([
    ['is no HTTP', 'garbage\r\n\r\n'],
    ['is another protocol', '\x16\x03\x01\x02\x00\x01\x00\x01'],
    ['has a space in a header name', 'GET / HTTP/1.1\r\nHost: a\r\nbad name: b\r\n\r\n'],
    ['has a bare carriage return', 'GET / HTTP/1.1\r\nHost: a\r\nA: b\rC: d\r\n\r\n'],
    ['folds a header', 'GET / HTTP/1.1\r\nHost: a\r\nA: b\r\n c\r\n\r\n'],
    ['has no number as its length', 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n'],
    [
      'has two lengths',
      'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab',
    ],
    [
      'has a length and a transfer coding',
      'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    ],
    [
      'has a bad chunk size',
      'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n\r\n',
    ],
    ['names no host', 'GET / HTTP/1.1\r\n\r\n'],
  ])('is answered with a 400 problem and closed when it %s', async (_title, bytes) => {
    const { handle } = holdRequests()
    const received = await exchange(await start({ handle }), bytes)
    expect(readProblem(received)).toMatchObject(completeProblem(400, 'malformed_request'))
  })

  test('is answered with a 431 problem when its headers are beyond 16 KiB', async () => {
    let calls = 0
    const server = await start({ handle: () => (calls += 1) })
    const received = await exchange(
      server,
      `GET / HTTP/1.1\r\nHost: a\r\nCookie: ${'c'.repeat(20_000)}\r\n\r\n`,
    )
    expect(readProblem(received)).toMatchObject(completeProblem(431, 'header_fields_too_large'))
    expect(calls).toBe(0)
  })

  test('is fine when its headers are below 16 KiB', async () => {
    const connection = await open(await start())
    connection.send(`GET / HTTP/1.1\r\nHost: a\r\nCookie: ${'c'.repeat(15_000)}\r\n\r\n`)
    expect(await connection.receives((text) => text.endsWith('ok'))).toMatch(/^HTTP\/1\.1 200 /)
  })

  test('is answered with a 408 problem when its headers or its body take too long', async () => {
    const { handle } = holdRequests()
    const server = await start({ handle, headersTimeoutSeconds: 0.1, requestTimeoutSeconds: 0.2 })
    const [slowHeaders, slowBody] = await Promise.all([
      exchange(server, 'GET / HTTP/1.1\r\nHost: a\r\n'),
      exchange(server, 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc'),
    ])
    expect(readProblem(slowHeaders)).toMatchObject(completeProblem(408, 'request_timeout'))
    expect(readProblem(slowBody)).toMatchObject(completeProblem(408, 'request_timeout'))
  })

  test('has a request id in its refusal also when it expects what nobody knows', async () => {
    const received = await exchange(
      await start(),
      'GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nExpect: 200-maybe\r\n\r\n',
    )
    const { status, headers } = parseRawAnswer(received)
    // RFC 9110 §10.1.1 allows 417.
    expect([400, 417]).toContain(status)
    expect(headers['x-request-id']).toMatch(/^[0-9a-f-]{36}$/)
  })

  test.each([
    ['garbage', 'garbage\r\n\r\n'],
    ['an upgrade', UPGRADE],
    ['a CONNECT', CONNECT],
  ])('never gets into an answer that is under way: %s', async (_title, bytes) => {
    const server = await start({ handle: (_req, res) => void res.write('the beginning') })
    const connection = await open(server)
    connection.send(GET)
    const before = await connection.receives((text) => text.includes('the beginning'))
    connection.send(bytes)
    expect((await connection.ends()).slice(before.length)).not.toContain('HTTP/1.1')
  })

  test('cannot queue a second request behind an answer: it is refused, and the connection ends', async () => {
    const { handle, arrived, answerAll } = holdRequests()
    let calls = 0
    const server = await start({
      handle: (req, res) => {
        calls += 1
        handle(req, res)
      },
    })
    const connection = await open(server)
    connection.send(GET + GET.replace('/', '/second'))
    await arrived
    answerAll()
    const received = await connection.ends()
    const second = received.slice(received.lastIndexOf('HTTP/1.1'))
    expect(received.startsWith('HTTP/1.1 200 OK')).toBe(true)
    expect(readProblem(second)).toMatchObject(completeProblem(400, 'malformed_request'))
    expect(calls).toBe(1)
  })

  test('does not disturb the others', async () => {
    const server = await start()
    const connection = await open(server)
    connection.send('gar')
    connection.socket.resetAndDestroy()
    await exchange(server, 'garbage\r\n\r\n')
    expect((await fetch(urlOf(server))).status).toBe(200)
  })
})

describe.concurrent('the interim answer 100', () => {
  const EXPECTING =
    'POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n'
  const refuse: RequestListener = (_req, res) => void res.writeHead(403).end()

  test('is sent at once by default', async () => {
    const connection = await open(await start({ handle: refuse }))
    connection.send(EXPECTING)
    expect(await connection.ends()).toMatch(/^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 403 /)
  })

  test('is left to the handler when it wants that', async () => {
    const refusing = await start({ handle: refuse, sendsContinue: 'handler' })
    expect(await exchange(refusing, EXPECTING)).toMatch(/^HTTP\/1\.1 403 /)

    const accepting = await start({
      sendsContinue: 'handler',
      handle: (req, res) => {
        res.writeContinue()
        void text(req).then((body) => res.end(`got ${body}`))
      },
    })
    const connection = await open(accepting)
    connection.send(EXPECTING)
    await connection.receives((text) => text.startsWith('HTTP/1.1 100 Continue\r\n\r\n'))
    connection.send('body')
    expect(await connection.ends()).toMatch(/\r\n\r\ngot body$/)
  })

  test('is not sent past a terminator check either', async () => {
    const server = await start({ sendsContinue: 'handler', terminators: listOf('127.0.0.1') })
    expect(await exchange(server, EXPECTING)).toMatch(/^HTTP\/1\.1 403 .*"https_required"/s)
  })
})

function listOf(...addresses: string[]): BlockList {
  const list = new BlockList()
  for (const address of addresses) list.addAddress(address, 'ipv4')
  return list
}

describe.concurrent('a listener behind a TLS terminator', () => {
  const get = (server: HttpServer, forwardedProto?: string) =>
    fetch(urlOf(server), {
      headers: forwardedProto === undefined ? {} : { 'x-forwarded-proto': forwardedProto },
    })

  test('serves what that forwards from https', async () => {
    const response = await get(await start({ terminators: listOf('127.0.0.1') }), 'https')
    expect(response.status).toBe(200)
    expect(await response.text()).toBe('ok')
  })

  test.each([undefined, 'http', '', 'https, http', 'wss'])(
    'refuses what came to it with X-Forwarded-Proto %j',
    async (forwardedProto) => {
      const response = await get(await start({ terminators: listOf('127.0.0.1') }), forwardedProto)
      expect(response.status).toBe(403)
      expect(response.headers.get('connection')).toBe('close')
      expect(await response.json()).toMatchObject({ error: { code: 'https_required' } })
    },
  )

  test('believes nobody else', async () => {
    const response = await get(await start({ terminators: listOf('192.0.2.1') }), 'https')
    expect(response.status).toBe(403)
    expect(await response.json()).toMatchObject({ error: { code: 'https_required' } })
  })

  const hasIpv6 = Object.values(networkInterfaces()).some((addresses) =>
    addresses?.some(({ family }) => family === 'IPv6'),
  )
  test.skipIf(!hasIpv6)('knows it by its IPv4 address on a dual-stack socket', async () => {
    const server = await start({
      listen: { host: '::', port: 0 },
      terminators: listOf('127.0.0.1'),
    })
    expect((await get(server, 'https')).status).toBe(200)
    const other = await start({ listen: { host: '::', port: 0 }, terminators: listOf('192.0.2.1') })
    expect((await get(other, 'https')).status).toBe(403)
  })
})

describe.concurrent('draining', () => {
  test('ends at once when nothing runs, and refuses new connections from then on', async () => {
    const server = await start()
    await server.drain(60)
    await expect(fetch(urlOf(server))).rejects.toThrow('fetch failed')
  })

  test('lets the running request finish and closes idle connections at once', async () => {
    const { handle, arrived, answerAll } = holdRequests()
    const server = await start({
      handle: (req, res) => (req.url === '/idle' ? answerOk(req, res) : handle(req, res)),
    })
    const idle = await open(server)
    idle.send(GET.replace('/', '/idle'))
    await idle.receives((text) => text.endsWith('ok'))
    const busy = await open(server)
    busy.send(GET)
    await arrived

    const drained = server.drain(60)
    await idle.ends()
    await expect(fetch(urlOf(server))).rejects.toThrow('fetch failed')
    expect(busy.received()).toBe('')
    answerAll()
    expect(await busy.ends()).toMatch(/^HTTP\/1\.1 200 .*\r\n\r\nfinished$/s)
    await drained
  })

  test('cuts what still runs when its time is over', async () => {
    const { handle, arrived } = holdRequests()
    const server = await start({ handle })
    const connection = await open(server)
    connection.send(GET)
    await arrived
    await server.drain(0.01)
    expect(await connection.ends()).toBe('')
  })

  test.each([
    ['an upgrade', UPGRADE],
    ['a CONNECT', CONNECT],
    ['garbage', 'garbage\r\n\r\n'],
  ])(
    'also cuts who was refused but does not close its side: %s',
    async (_title, bytes) => {
      const server = await start()
      const connection = await open(server, { staysOpen: true })
      connection.send(bytes)
      await connection.ends()
      expect(await server.drain(0.01)).toBeUndefined()
    },
    2500,
  )
})

describe('a tunnel', () => {
  test('is refused when it is asked for by an upgrade', async () => {
    const received = await exchange(await start(), UPGRADE)
    expect(readProblem(received)).toMatchObject(completeProblem(400, 'malformed_request'))
  })

  test('is refused when it is asked for by CONNECT', async () => {
    const received = await exchange(await start(), CONNECT)
    expect(readProblem(received)).toMatchObject(completeProblem(405, 'method_not_allowed'))
  })

  test.each([
    ['an upgrade', UPGRADE],
    ['a CONNECT', CONNECT],
  ])(
    'does not end the process when its client resets the connection: %s',
    async (_title, bytes) => {
      const server = await start()
      const uncaught: unknown[] = []
      process.setUncaughtExceptionCaptureCallback((error) => uncaught.push(error))
      try {
        for (let i = 0; i < 5; i += 1) {
          const connection = await open(server, { staysOpen: true })
          connection.send(bytes)
          await connection.ends()
          connection.socket.resetAndDestroy()
          // By the time of this answer the server has seen the reset as well.
          await (await fetch(urlOf(server))).text()
        }
      } finally {
        process.setUncaughtExceptionCaptureCallback(null)
      }
      expect(uncaught).toEqual([])
    },
  )
})

describe('a client that takes nothing', () => {
  test('of a whole answer is let go of, and so is one that asks nothing more', async () => {
    const big = Buffer.alloc(8_000_000)
    const finished: boolean[] = []
    const server = await start({
      idleTimeoutSeconds: 1,
      handle: (_req, res) => {
        res.once('close', () => finished.push(res.writableFinished))
        res.end(big)
      },
    })
    const { socket, send } = await open(server)
    socket.pause()
    send(GET)
    await expect.poll(() => finished, { timeout: 10_000 }).toEqual([false])
  })

  test('of a whole answer is let go of, also when it has asked for another', async () => {
    const answers: ServerResponse[] = []
    const server = await start({
      idleTimeoutSeconds: 1,
      handle: (_req, res) => {
        // The second is still being made.
        if (answers.push(res) === 1) res.end(Buffer.alloc(8_000_000))
      },
    })
    const { socket, send } = await open(server)
    socket.pause()
    send(GET)
    await expect.poll(() => answers.length).toBe(1)
    send(GET)
    await expect.poll(() => answers.length).toBe(2)
    const closed = () => answers.map((res) => res.closed)
    await expect.poll(closed, { timeout: 10_000 }).toEqual([true, true])
  })

  test('while its answer is being made may wait for it', async () => {
    const server = await start({
      idleTimeoutSeconds: 1,
      handle: (_req, res) => {
        // For longer than it may be silent afterwards.
        setTimeout(() => res.end('made'), 1500)
      },
    })
    expect(await (await fetch(urlOf(server))).text()).toBe('made')
  })
})

/** An answer of the next turn. */
const answerNext: RequestListener = (_req, res) => void setImmediate(() => res.end('heard'))

describe('a client that closes its side behind its request', () => {
  test('still gets what is answered in that turn', async () => {
    const server = await start({ handle: answerNext })
    const { socket, ends } = await open(server)
    socket.end(GET)
    expect(await ends()).toContain('heard')
  })

  test('is taken for gone after it', async () => {
    let isGone = false
    const server = await start({
      handle: (_req, res) => void res.once('close', () => (isGone = !res.writableFinished)),
    })
    const { socket, ends } = await open(server)
    socket.end(GET)
    expect(await ends()).toBe('')
    await expect.poll(() => isGone).toBe(true)
  })
})

describe.skipIf(!hasOpenssl)('a listener with a certificate', () => {
  function makeCertificate(): { cert: string; key: string } {
    const [certFile, keyFile] = [join(newFolder(), 'cert.pem'), join(newFolder(), 'key.pem')]
    const kind = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-x509']
    const about = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost']
    const files = ['-keyout', keyFile, '-out', certFile]
    execFileSync('openssl', ['req', ...kind, ...about, ...files], { stdio: 'ignore' })
    return { cert: readFileSync(certFile, 'utf8'), key: readFileSync(keyFile, 'utf8') }
  }

  test('answers a client, too, that closes its side behind its request, and then takes it for gone', async () => {
    let isGone = false
    const server = await start({
      tls: makeCertificate(),
      handle(req, res) {
        if (req.url === '/') return answerNext(req, res)
        res.once('close', () => (isGone = !res.writableFinished))
      },
    })
    const ask = async (request: string) => {
      const { port } = server.address
      const socket = connectTls({ host: '127.0.0.1', port, rejectUnauthorized: false })
      await once(socket, 'secureConnect')
      socket.end(request)
      return text(socket)
    }
    expect(await ask(GET)).toContain('heard')
    expect(await ask(GET.replace('/', '/never'))).toBe('')
    await expect.poll(() => isGone).toBe(true)
  })

  test('lets go of a connection that ends before its handshake, and does not wait for it when it ends', async () => {
    const server = await start({ tls: makeCertificate() })
    const { socket, ends } = await open(server)
    const before = performance.now()
    socket.end()
    expect(await ends()).toBe('')
    await server.drain(1)
    expect(performance.now() - before).toBeLessThan(5000)
  })

  test('speaks HTTPS and nothing else', async () => {
    const tls = makeCertificate()
    let calls = 0
    const server = await start({ tls, handle: (_req, res) => void res.end(`call ${(calls += 1)}`) })
    const answer = await new Promise<IncomingMessage>((resolve, reject) => {
      const { port } = server.address
      const options = { host: '127.0.0.1', port, servername: 'localhost', ca: tls.cert }
      requestTls({ ...options, agent: false }, resolve)
        .on('error', reject)
        .end()
    })
    expect(await text(answer)).toBe('call 1')

    expect(await exchange(server, GET)).not.toContain('call')
    expect(calls).toBe(1)
  })
})
