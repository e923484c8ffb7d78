import { once } from 'node:events'
import { Agent, request, type IncomingMessage } from 'node:http'
import { connect, createServer, type Socket } from 'node:net'
import { text } from 'node:stream/consumers'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startLoneProxy, type LoneProxy } from '../support/lone-proxy.ts'
import { exchangeRaw, statusOf } from '../support/raw-http.ts'

let proxy: LoneProxy
let authorization: string
beforeAll(async () => {
  proxy = await startLoneProxy(['proxy.maxBodyBytes=8388608'])
  authorization = `Bearer ${await proxy.issuer.sign()}`
})
afterAll(() => proxy.close())

function open(headers: Record<string, string | number> = {}) {
  return request({
    port: proxy.port,
    host: '127.0.0.1',
    path: '/v1/chat/completions',
    method: 'POST',
    headers: { authorization, ...headers },
  })
}

async function responseTo(req: ReturnType<typeof open>): Promise<IncomingMessage> {
  const [response] = (await once(req, 'response')) as [IncomingMessage]
  return response
}

/** The number once it has stopped growing. */
async function settled(read: () => number): Promise<number> {
  let before = -1
  await expect
    .poll(
      () => {
        const hasStopped = read() === before
        before = read()
        return hasStopped
      },
      { interval: 300, timeout: 10_000 },
    )
    .toBe(true)
  return before
}

const lastLine = () => proxy.logged.findLast((line) => line['event'] === 'proxy.call')

describe('answers', () => {
  test('each event of a stream arrives before the next is sent', async () => {
    const toSend: (() => void)[] = []
    proxy.model.answer((_req, res) => {
      res.writeHead(200, { 'content-type': 'text/event-stream' }).flushHeaders()
      for (const n of [1, 2, 3]) toSend.push(() => res.write(`data: ${n}\n\n`))
      toSend.push(() => res.end('data: [DONE]\n\n'))
    })
    const req = open()
    req.end('{}')
    const response = await responseTo(req)
    expect(response.headers['content-type']).toBe('text/event-stream')
    response.setEncoding('utf8')
    for (const expected of ['data: 1\n\n', 'data: 2\n\n', 'data: 3\n\n', 'data: [DONE]\n\n']) {
      toSend.shift()?.()
      const [chunk] = (await once(response, 'data')) as [string]
      expect(chunk).toBe(expected)
    }
    await expect.poll(() => response.readableEnded).toBe(true)
  })

  test.each([
    ['in one piece', ['12345678']],
    ['in two pieces', ['1234', '5678']],
    ['and is empty', ['']],
  ])('one whose length is told comes through whole %s', async (_how, pieces) => {
    proxy.model.answer((req, res) => {
      req.resume()
      const length = pieces.join('').length
      res.writeHead(201, { 'content-length': length, 'x-of-model': 'yes' }).flushHeaders()
      const [first = '', ...more] = pieces
      res.write(first, () => setImmediate(() => res.end(more.join(''))))
    })
    const response = await proxy.call(authorization)
    expect(response.status).toBe(201)
    expect(response.headers.get('x-of-model')).toBe('yes')
    expect(await response.text()).toBe(pieces.join(''))
  })

  test('a large answer comes through whole', async () => {
    const big = Buffer.alloc(5_000_000, 'abcdefghij')
    proxy.model.answer((req, res) => {
      req.resume()
      res.end(big)
    })
    const response = await fetch(`${proxy.url}/v1/chat/completions`, {
      method: 'POST',
      headers: { authorization },
      body: '{}',
    })
    expect(Buffer.compare(Buffer.from(await response.arrayBuffer()), big)).toBe(0)
  })

  test('a client that reads nothing holds back the model server instead of filling our memory', async () => {
    let written = 0
    proxy.model.answer((req, res) => {
      req.resume()
      res.writeHead(200)
      const chunk = Buffer.alloc(65_536)
      const pump = () => {
        while (written < 500_000_000 && res.write(chunk)) written += chunk.length
      }
      res.on('drain', pump)
      pump()
    })
    const req = open()
    req.end('{}')
    const response = await responseTo(req)
    response.pause()
    expect(await settled(() => written)).toBeLessThan(100_000_000)
    req.destroy()
  })

  test("the model server's own refusals come through as they are", async () => {
    proxy.model.answer((req, res) => {
      req.resume()
      res
        .writeHead(422, { 'content-type': 'application/json', 'x-model': 'yes' })
        .end('{"detail":"no"}')
    })
    const response = await proxy.call(authorization)
    expect([response.status, await response.text()]).toEqual([422, '{"detail":"no"}'])
    expect(response.headers.get('x-model')).toBe('yes')
  })

  test('trailers come after the last chunk, but for those that may be none (RFC 9110 §6.5.1)', async () => {
    proxy.model.answer((req) => {
      req.resume()
      req.socket.end(
        'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x-checksum\r\n\r\n2\r\nok\r\n0\r\n' +
          'X-Checksum: abc\r\nSet-Cookie: a=b\r\nKeep-Alive: timeout=9\r\nX-Request-Id: forged\r\n\r\n',
      )
    })
    const req = open()
    req.end('{}')
    const response = await responseTo(req)
    expect(await text(response)).toBe('ok')
    expect(response.trailers).toEqual({ 'x-checksum': 'abc' })
  })

  test('trailers of the request come after its last chunk, but for those that may be none or are ours to say', async () => {
    const seen = Promise.withResolvers<Record<string, string | undefined>>()
    proxy.model.answer((req, res) => {
      req.resume().on('end', () => {
        seen.resolve({ ...req.trailers })
        res.end('ok')
      })
    })
    const socket = connect(proxy.port, '127.0.0.1')
    socket.write(
      `POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nAuthorization: ${authorization}\r\nTransfer-Encoding: chunked\r\n\r\n` +
        '2\r\n{}\r\n0\r\nX-Checksum: abc\r\nX-Gatehouse-Subject: root\r\nAuthorization: x\r\n\r\n',
    )
    expect(await seen.promise).toEqual({ 'x-checksum': 'abc' })
    socket.destroy()
  })

  test('hop-by-hop headers of the answer stay behind', async () => {
    proxy.model.answer((req, res) => {
      req.resume()
      res.writeHead(200, {
        connection: 'x-hop, close',
        'x-hop': '1',
        'keep-alive': 'timeout=9',
        'x-kept': '1',
      })
      res.end('ok')
    })
    const response = await proxy.call(authorization)
    expect(await response.text()).toBe('ok')
    expect([response.headers.get('x-hop'), response.headers.get('x-kept')]).toEqual([null, '1'])
  })
})

describe('uploads', () => {
  test.each([0, 1, 65_536, 65_537, 1_000_000, 8_388_608])(
    'a body of %i bytes arrives as it was sent',
    async (size) => {
      const body = Buffer.alloc(size, 'image bytes ')
      let arrived = Buffer.alloc(0)
      proxy.model.answer(async (req, res) => {
        const chunks: Buffer[] = []
        for await (const chunk of req) chunks.push(chunk as Buffer)
        arrived = Buffer.concat(chunks)
        res.end()
      })
      const response = await proxy.call(authorization, { body })
      expect(response.status).toBe(200)
      expect(Buffer.compare(arrived, body)).toBe(0)
    },
  )

  test('a chunked body arrives as it was sent', async () => {
    let arrived = ''
    proxy.model.answer(async (req, res) => {
      for await (const chunk of req) arrived += String(chunk)
      res.end()
    })
    const req = open()
    req.write('one,')
    req.write('two,')
    req.end('three')
    expect((await responseTo(req)).statusCode).toBe(200)
    expect(arrived).toBe('one,two,three')
  })

  test('a small one arrives whole that came in pieces while its call waited for its turn', async () => {
    const busy = await startLoneProxy(['proxy.maxInFlightPerUpstream=1'])
    const held: (() => void)[] = []
    let body = ''
    busy.model.answer(async (req, res) => {
      if (req.url === '/health') {
        res.end()
        return
      }
      body = await text(req)
      held.push(() => res.end('{}'))
    })
    const credentials = `Bearer ${await busy.issuer.sign()}`
    const first = busy.call(credentials)
    await expect.poll(() => held.length).toBe(1)
    const [lead, rest] = ['{"a":"票', '据"}']
    const head = [
      'POST /v1/chat/completions HTTP/1.1',
      'Host: x',
      `Authorization: ${credentials}`,
      `Content-Length: ${Buffer.byteLength(lead + rest)}`,
    ]
    const second = connect(busy.port, '127.0.0.1')
    for (const piece of [`${head.join('\r\n')}\r\n\r\n${lead}`, rest]) {
      second.write(piece)
      // By the answer to another question the piece has been read.
      await fetch(`${busy.url}/health`)
    }
    held.shift()?.()
    await expect.poll(() => held.length).toBe(1)
    expect(body).toBe(lead + rest)
    held.shift()?.()
    await first
    second.destroy()
    await busy.close()
  })

  test('a model server that reads nothing holds back the client instead of filling our memory', async () => {
    const roomy = await startLoneProxy(['proxy.maxBodyBytes=1000000000'])
    let begin = () => undefined as void
    roomy.model.answer((req, res) => {
      begin = () => void req.resume().on('end', () => res.end('all of it'))
    })
    const size = 64_000_000
    const req = request(`${roomy.url}/v1/chat/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${await roomy.issuer.sign()}`, 'content-length': size },
    })
    let written = 0
    const pump = () => {
      while (written < size) {
        written += 1_000_000
        if (!req.write(Buffer.alloc(1_000_000))) return
      }
      req.end()
    }
    req.on('drain', pump)
    pump()
    expect(await settled(() => written)).toBeLessThan(size / 2)
    begin()
    expect(await text(await responseTo(req))).toBe('all of it')
    await roomy.close()
  })

  test('a body over the limit is 413 before a byte of it is read', async () => {
    const reached = proxy.model.received.length
    const req = open({ 'content-length': 100_000_000 })
    req.flushHeaders()
    const response = await responseTo(req)
    expect(response.statusCode).toBe(413)
    req.destroy()
    expect(proxy.model.received).toHaveLength(reached)
  })

  test('a client that sends all of 100 MB first still gets to read its 413', async () => {
    const response = await proxy.call(authorization, { body: Buffer.alloc(100_000_000) })
    expect(response.status).toBe(413)
    expect(await response.json()).toMatchObject({ error: { code: 'content_too_large' } })
  })

  test('a chunked body over the limit is 413 as soon as it shows', async () => {
    proxy.model.answer((req) => void req.resume())
    const req = open({ 'transfer-encoding': 'chunked' })
    req.on('error', () => undefined)
    const responding = responseTo(req)
    for (let sent = 0; sent < 12_000_000; sent += 1_000_000) req.write(Buffer.alloc(1_000_000))
    expect((await responding).statusCode).toBe(413)
    req.destroy()
  })

  test('100-continue is sent when the body is wanted, and not when it is refused', async () => {
    proxy.model.answer((req, res) => {
      req.resume()
      req.on('end', () => res.end('done'))
    })
    const wanted = open({ expect: '100-continue', 'content-length': 2 })
    wanted.flushHeaders()
    await once(wanted, 'continue')
    wanted.end('{}')
    expect((await responseTo(wanted)).statusCode).toBe(200)

    const refused = await exchangeRaw(
      proxy.port,
      'POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n\r\n',
    )
    expect(statusOf(refused)).toBe(401)
    expect(refused).toMatch(/\r\nconnection: close\r\n/i)
  })
})

describe('BerriAI/litellm#37140: a client that leaves does not keep the GPU', () => {
  test('before the answer has begun', async () => {
    const gone = new Promise<void>((resolve) => {
      proxy.model.answer((req, res) => {
        req.resume()
        res.on('close', resolve)
      })
    })
    const req = open()
    req.on('error', () => undefined)
    const atModel = new Promise((resolve) => setImmediate(resolve))
    req.end('{}')
    await atModel
    await expect.poll(async () => (await opsMetric('gatehouse_proxy_in_flight')) === 1).toBe(true)
    req.destroy()
    await gone
    await expect.poll(() => lastLine()?.['reason']).toBe('client_gone')
  })

  test('in the middle of the answer', async () => {
    const gone = new Promise<void>((resolve) => {
      proxy.model.answer((req, res) => {
        req.resume()
        res.write('data: 1\n\n')
        res.on('close', resolve)
      })
    })
    const req = open()
    req.on('error', () => undefined)
    req.end('{}')
    await once(await responseTo(req), 'data')
    req.destroy()
    await expect(gone).resolves.toBeUndefined()
  })

  test('while a connection to the model server is still being made', async () => {
    // It takes the connection and never begins TLS.
    const mute = createServer()
    await new Promise<void>((resolve) => mute.listen(0, '127.0.0.1', resolve))
    const address = mute.address()
    if (address === null || typeof address === 'string') throw new Error('no port')
    const before = await startLoneProxy([
      `proxy.upstreams=https://127.0.0.1:${address.port}`,
      'proxy.connectTimeoutSeconds=60',
    ])
    const connected = once(mute, 'connection')
    const leaving = new AbortController()
    const call = before.call(`Bearer ${await before.issuer.sign()}`, { signal: leaving.signal })
    const [socket] = (await connected) as [Socket]
    leaving.abort()
    await expect(call).rejects.toThrow('abort')
    await expect
      .poll(() => before.logged.findLast(({ event }) => event === 'proxy.call')?.['reason'])
      .toBe('client_gone')
    const metrics = await fetch(`http://${before.config.proxy.opsListen}/metrics`)
    expect(await metrics.text()).toMatch(/gatehouse_proxy_in_flight\{[^}]*\} 0/)
    socket.destroy()
    mute.close()
    await before.close()
  })

  test('in the middle of its upload', async () => {
    const aborted = new Promise<void>((resolve) => {
      proxy.model.answer((req) => {
        req.on('error', () => resolve())
        req.resume()
      })
    })
    const socket = connect(proxy.port, '127.0.0.1')
    socket.write(
      `POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: ${authorization}\r\nContent-Length: 5000000\r\n\r\n`,
    )
    socket.write(Buffer.alloc(1_000_000), () => socket.destroy())
    await aborted
    await expect.poll(() => opsMetric('gatehouse_proxy_in_flight')).toBe(0)
  })
})

describe('a connection stays good, or ends', () => {
  test('a request after an early answer to a large upload is answered on the same connection', async () => {
    proxy.model.answer((_req, res) => void res.writeHead(422).end('too blurred'))
    const agent = new Agent({ keepAlive: true, maxSockets: 1 })
    const send = (body: Buffer) =>
      new Promise<number>((resolve, reject) => {
        const req = request(
          {
            agent,
            port: proxy.port,
            host: '127.0.0.1',
            path: '/v1/chat/completions',
            method: 'POST',
            headers: { authorization, 'content-length': body.length },
          },
          (response) => {
            response.resume().on('end', () => resolve(response.statusCode ?? 0))
          },
        )
        req.on('error', reject).end(body)
      })
    expect(await send(Buffer.alloc(8_000_000))).toBe(422)
    proxy.model.answer((req, res) => void req.resume().on('end', () => res.end('fine')))
    expect(await send(Buffer.from('{}'))).toBe(200)
    agent.destroy()
  })

  test('a body on a public route is refused before it reaches the model server', async () => {
    const reached = proxy.model.received.length
    for (const framing of ['Content-Length: 5', 'Transfer-Encoding: chunked']) {
      const answer = await exchangeRaw(
        proxy.port,
        `GET /health HTTP/1.1\r\nHost: x\r\n${framing}\r\n\r\n`,
      )
      expect(statusOf(answer)).toBe(413)
    }
    expect(proxy.model.received).toHaveLength(reached)
  })

  test('an HTTP/1.0 client is sent no 100 Continue', async () => {
    proxy.model.answer((req, res) => void req.resume().on('end', () => res.end('fine')))
    const answer = await exchangeRaw(
      proxy.port,
      `POST /v1/chat/completions HTTP/1.0\r\nAuthorization: ${authorization}\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n{}`,
    )
    expect(answer).toMatch(/^HTTP\/1\.1 200/)
  })
})

describe('who stops in the middle', () => {
  let impatient: LoneProxy
  beforeAll(async () => {
    impatient = await startLoneProxy([
      'proxy.idleTimeoutSeconds=1',
      'proxy.maxInFlightPerUpstream=1',
      'proxy.queue.maxWaiting=0',
    ])
  })
  afterAll(() => impatient.close())
  const head = async (length: number) =>
    `POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${await impatient.issuer.sign()}\r\nContent-Length: ${length}\r\n\r\n`

  test('of sending gets 408, and gives the place back', async () => {
    const answer = await exchangeRaw(impatient.port, `${await head(1_000_000)}x`)
    expect(statusOf(answer)).toBe(408)
    expect((await impatient.call(`Bearer ${await impatient.issuer.sign()}`)).status).toBe(200)
  })

  test('of taking what is sent is cut off, and gives the place back', async () => {
    const gone = new Promise<void>((resolve) => {
      impatient.model.answer((req, res) => {
        req.resume()
        res.once('close', resolve)
        const pump = () => {
          while (res.write(Buffer.alloc(65_536)));
        }
        res.on('drain', pump)
        pump()
      })
    })
    const socket = connect(impatient.port, '127.0.0.1').pause()
    socket.on('error', () => undefined)
    socket.write(`${await head(2)}{}`)
    await expect(gone).resolves.toBeUndefined()
    socket.destroy()
  })

  test('of answering is broken off, and the record says so', async () => {
    impatient.model.answer((req, res) => {
      req.resume()
      res.write('half')
    })
    const response = await impatient.call(`Bearer ${await impatient.issuer.sign()}`)
    await expect(response.text()).rejects.toThrow()
    await expect
      .poll(() => impatient.logged.findLast(({ event }) => event === 'proxy.call'))
      .toMatchObject({ decision: 'allow', reason: 'upstream_broke_off', status: 200 })
  })

  test('more than may run at once is 503 with Retry-After, until one of them ends', async () => {
    const finish: (() => void)[] = []
    impatient.model.answer((req, res) => {
      req.resume()
      finish.push(() => void res.end('done'))
    })
    const token = `Bearer ${await impatient.issuer.sign()}`
    const running = impatient.call(token)
    await expect.poll(() => finish.length).toBe(1)
    const refused = await impatient.call(token)
    expect(refused.status).toBe(503)
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThanOrEqual(1)
    finish[0]?.()
    expect(await (await running).text()).toBe('done')

    impatient.model.answer((req, res) => void (req.resume(), res.end('fine')))
    expect((await impatient.call(token)).status).toBe(200)
  })
})

describe('a model server that fails', () => {
  test('resets before it answers: 502', async () => {
    proxy.model.answer((req) => void req.socket.destroy())
    const response = await proxy.call(authorization)
    expect(response.status).toBe(502)
    expect(await response.json()).toMatchObject({ error: { code: 'upstream_unreachable' } })
  })

  test('resets while a large body is still coming in: 502 all the same', async () => {
    proxy.model.answer((req) => void req.socket.destroy())
    const response = await proxy.call(authorization, { body: Buffer.alloc(8_000_000) })
    expect(response.status).toBe(502)
  })

  test('breaks off in the middle of an answer: so does the proxy, and the client notices', async () => {
    proxy.model.answer((req, res) => {
      req.resume()
      res.write('half', () => res.destroy())
    })
    const response = await proxy.call(authorization)
    await expect(response.text()).rejects.toThrow()
  })

  test('breaks off a short answer before its body: 502, because the client has seen nothing of it', async () => {
    proxy.model.answer((req, res) => {
      req.resume()
      res.writeHead(200, { 'content-length': 4 }).flushHeaders()
      setImmediate(() => req.socket.resetAndDestroy())
    })
    expect((await proxy.call(authorization)).status).toBe(502)
  })

  test('breaks off in the middle of a short answer: the client notices', async () => {
    proxy.model.answer((req, res) => {
      req.resume()
      res.writeHead(200, { 'content-length': 8 })
      res.write('half', () => res.destroy())
    })
    const response = await proxy.call(authorization)
    await expect(response.text()).rejects.toThrow()
  })

  test.each([
    ['short', 'content-length: 2\r\n\r\nok'],
    ['streamed', 'transfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n'],
  ])('has a header that cannot be passed on in a %s answer: 502', async (_how, rest) => {
    proxy.model.answer((req) => void req.socket.end(`HTTP/1.1 200 OK\r\nx-odd: \x7f\r\n${rest}`))
    expect((await proxy.call(authorization)).status).toBe(502)
  })

  test('sends an informational answer first: only the real one arrives', async () => {
    proxy.model.answer((req, res) => {
      req.resume()
      res.writeEarlyHints({ link: '</style.css>; rel=preload' })
      res.end('the real one')
    })
    const response = await proxy.call(authorization)
    expect([response.status, await response.text()]).toEqual([200, 'the real one'])
  })

  test('sends 100 Continue, for which nobody asked: only the answer arrives', async () => {
    proxy.model.answer((req, res) => {
      req.resume()
      res.writeContinue()
      res.end('the answer')
    })
    const response = await proxy.call(authorization)
    expect([response.status, await response.text()]).toEqual([200, 'the answer'])
  })

  test('names hop-by-hop headers in two Connection headers: they stay behind', async () => {
    proxy.model.answer((req) => {
      req.socket.end(
        'HTTP/1.1 200 OK\r\nConnection: x-hop\r\nConnection: close\r\nX-Hop: 1\r\nContent-Length: 2\r\n\r\nok',
      )
    })
    const response = await proxy.call(authorization)
    expect([await response.text(), response.headers.get('x-hop')]).toEqual(['ok', null])
  })

  test('closes idle connections as soon as it has answered: no GET fails of it', async () => {
    proxy.model.answer((req, res) => {
      req.resume()
      res.end('ok')
      setTimeout(() => req.socket.destroy(), 1)
    })
    const statuses = new Set<number>()
    for (let i = 0; i < 100; i += 1) {
      const response = await fetch(`${proxy.url}/v1/models`, { headers: { authorization } })
      statuses.add(response.status)
      await response.arrayBuffer()
    }
    expect([...statuses]).toEqual([200])
  })

  test.each([
    'HTTP/1.1 099 No\r\n\r\n',
    'garbage',
    'HTTP/1.1 200 OK\r\nX: \0\r\n\r\n',
    'HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n',
    'HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    `HTTP/1.1 200 OK\r\nX-Long: ${'x'.repeat(20_000)}\r\n\r\n`,
  ])('speaks nonsense (%j): 502 and the proxy lives on', async (nonsense) => {
    proxy.model.answer((req) => void req.socket.end(nonsense))
    expect((await proxy.call(authorization)).status).toBe(502)
    proxy.model.answer((req, res) => void (req.resume(), res.end('fine')))
    expect(await (await proxy.call(authorization)).text()).toBe('fine')
  })
})

async function opsMetric(name: string): Promise<number> {
  const response = await fetch(`http://${proxy.config.proxy.opsListen}/metrics`)
  const value = new RegExp(`^${name}(?:\\{[^}]*\\})? (\\S+)$`, 'm').exec(await response.text())?.[1]
  return Number(value)
}
