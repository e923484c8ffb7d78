import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { createServer as createPlainServer } from 'node:http'
import { createServer, getCACertificates, setDefaultCACertificates, type TLSSocket } from 'node:tls'
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest'
import { makeAuthority, makeServerCertificate } from '../../src/cli/dev-certificates.ts'
import type { CertificatePair } from '../../src/kernel/tls-policy.ts'
import {
  answerEach,
  bodyOf,
  codeOf,
  sized,
  turns,
  until,
  useExchanges,
} from '../support/exchanges.ts'

const { startServer, openPool, ask, onClose } = useExchanges()

const known = getCACertificates('default')
let authority: CertificatePair
let pair: CertificatePair
beforeAll(async () => {
  authority = await makeAuthority(Date.now())
  pair = await makeServerCertificate(authority, ['localhost', '127.0.0.1', '::1'], Date.now())
  setDefaultCACertificates([...known, authority.cert])
})
afterAll(() => setDefaultCACertificates(known))

type Answer = (request: string, socket: TLSSocket) => void

async function startTls(answer: Answer, { host = '127.0.0.1', by = pair } = {}) {
  const sockets: TLSSocket[] = []
  const server = createServer({ ...by, ALPNProtocols: ['http/1.1', 'h2'] }, (socket) => {
    sockets.push(socket)
    socket.on('error', () => undefined)
    socket.on('data', (data) => answer(data.toString('latin1'), socket))
  })
  await once(server.listen(0, host), 'listening')
  onClose(() => {
    server.close()
    for (const socket of sockets) socket.destroy()
  })
  return { port: (server.address() as AddressInfo).port, sockets }
}

describe('over TLS', () => {
  test('a connection is used again', async () => {
    const { port, sockets } = await startTls((_, socket) => socket.write(sized('abc')))
    const pool = openPool(`https://localhost:${port}`)
    for (let i = 0; i < 3; i += 1) {
      const told = ask(pool, { method: 'POST', body: Buffer.from('x') })
      await told.over
      expect([bodyOf(told), told.error]).toEqual(['abc', undefined])
    }
    expect(sockets).toHaveLength(1)
  })

  test.each([
    ['a name', 'localhost', '127.0.0.1', 'localhost'],
    ['an IPv4 address', '127.0.0.1', '127.0.0.1', false],
    ['an IPv6 address', '[::1]', '::1', false],
  ])('%s is told as the server name when it is one', async (_, host, listenOn, servername) => {
    const { port, sockets } = await startTls((_, socket) => socket.write(sized('abc')), {
      host: listenOn,
    })
    const told = ask(openPool(`https://${host}:${port}`))
    await told.over
    expect([bodyOf(told), told.error]).toEqual(['abc', undefined])
    expect([sockets[0]?.servername, sockets[0]?.alpnProtocol]).toEqual([servername, 'http/1.1'])
  })

  test.each(['localhost', '127.0.0.1'])(
    'a certificate for another than %s is refused',
    async (host) => {
      const by = await makeServerCertificate(authority, ['elsewhere.test', '10.0.0.1'], Date.now())
      const { port } = await startTls((_, socket) => socket.write(sized('abc')), { by })
      const told = ask(openPool(`https://${host}:${port}`))
      await told.over
      expect([codeOf(told), told.takenCount]).toEqual(['ERR_TLS_CERT_ALTNAME_INVALID', 0])
    },
  )

  test('a server that accepts and never shakes hands is left in time', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] })
    onTestFinished(() => void vi.useRealTimers())
    const { port, sockets } = await startServer((socket) => socket.resume())
    const told = ask(openPool(`https://127.0.0.1:${port}`))
    await until(() => (sockets[0]?.bytesRead ?? 0) > 0)
    vi.advanceTimersByTime(4999)
    await turns(5)
    expect(told.endCount).toBe(0)
    vi.advanceTimersByTime(1)
    await told.over
    expect([codeOf(told), told.takenCount]).toEqual(['UPSTREAM_CONNECT_TIMEOUT', 0])
    await until(() => sockets[0]?.closed === true)
    expect(vi.getTimerCount()).toBe(0)
  })

  test('a server that closes before it shakes hands has taken nothing', async () => {
    const { port } = await startServer((socket) => socket.once('data', () => socket.end()))
    const told = ask(openPool(`https://127.0.0.1:${port}`))
    await told.over
    expect(told.error).toBeInstanceOf(Error)
    expect(told.takenCount).toBe(0)
  })

  test('a server that speaks no TLS has taken nothing', async () => {
    const { port } = await startServer(answerEach((_, socket) => socket.write(sized('plain'))))
    const told = ask(openPool(`https://127.0.0.1:${port}`))
    await told.over
    expect([String(codeOf(told)), told.takenCount]).toEqual([expect.stringMatching(/^ERR_SSL_/), 0])
  })

  test('pauses lose nothing, both ways at once', async () => {
    const hash = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex')
    const sent = randomBytes(4_194_304)
    const back: Buffer[] = []
    const server = createServer(pair, (socket) => {
      let isBody = false
      socket
        .on('error', () => undefined)
        .on('data', (data: Buffer) => {
          const end = isBody ? 0 : data.indexOf('\r\n\r\n') + 4
          if (!isBody) socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${sent.length}\r\n\r\n`)
          isBody = true
          back.push(data.subarray(end))
          socket.write(data.subarray(end))
        })
    })
    await once(server.listen(0, '127.0.0.1'), 'listening')
    onClose(() => server.close())
    const told = ask(
      openPool(`https://127.0.0.1:${(server.address() as AddressInfo).port}`),
      { method: 'POST', body: sent },
      {
        onChunk({ control }) {
          control.pause()
          void turns(1).then(control.resume)
        },
      },
    )
    await told.over
    expect([told.error, hash(Buffer.concat(back))]).toEqual([undefined, hash(sent)])
    expect(hash(Buffer.concat(told.chunks))).toBe(hash(sent))
  })

  test('an exchange that is ended in its handshake sends nothing', async () => {
    const { port } = await startTls((_, socket) => socket.write(sized('abc')))
    const pool = openPool(`https://localhost:${port}`)
    const told = ask(pool)
    await turns(1)
    told.control.abort(new Error('no longer wanted'))
    await told.over
    const next = ask(pool)
    await next.over
    expect([told.takenCount, bodyOf(next)]).toEqual([0, 'abc'])
  })
})

test.each([
  ['[::1]', '::1'],
  ['localhost', '127.0.0.1'],
])('%s is connected to without TLS, and named as Host', async (host, listenOn) => {
  const hosts: unknown[] = []
  const server = createPlainServer((req, res) => {
    hosts.push(req.headers.host)
    res.end('ok')
  })
  await once(server.listen(0, listenOn), 'listening')
  onClose(() => {
    server.closeAllConnections()
    server.close()
  })
  const { port } = server.address() as AddressInfo
  const told = ask(openPool(`http://${host}:${port}/ignored`))
  await told.over
  expect([bodyOf(told), hosts]).toEqual(['ok', [`${host}:${port}`]])
})
