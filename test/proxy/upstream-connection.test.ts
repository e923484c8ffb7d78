import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { PassThrough, Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import * as fc from 'fast-check'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import {
  answerEach,
  bodyOf,
  codeOf,
  sized,
  turns,
  until,
  useExchanges,
} from '../support/exchanges.ts'
import { mutatedAnswers } from '../support/model-answers.ts'
import { forwardableTrailers } from '../../src/proxy/trailers.ts'

const { startServer, openPool, ask, onClose } = useExchanges()

/** From here on time goes on only when a test says so; sockets are not concerned. */
function fakeTime(): void {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] })
  onTestFinished(() => void vi.useRealTimers())
}

const CHUNKED_HEAD = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n'
const chunkOf = (text: string) => `${text.length.toString(16)}\r\n${text}\r\n`

describe('deadlines', () => {
  /** Not over after `ms - 1`, but after `ms`. */
  async function expectEndAfter(told: ReturnType<typeof ask>, ms: number): Promise<void> {
    vi.advanceTimersByTime(ms - 1)
    await turns(5)
    expect(told.endCount).toBe(0)
    vi.advanceTimersByTime(1)
    await told.over
  }

  test('a server that does not answer in time', async () => {
    fakeTime()
    const { port, sockets } = await startServer((socket) => socket.resume())
    const told = ask(openPool(port), { firstByteMs: 3000, idleMs: 10 })
    await until(() => told.takenCount === 1)
    await expectEndAfter(told, 3000)
    expect(codeOf(told)).toBe('UPSTREAM_FIRST_BYTE_TIMEOUT')
    await until(() => sockets[0]?.closed === true)
  })

  test('a server that only says that it is about to', async () => {
    fakeTime()
    const { port, sockets } = await startServer((socket) => socket.resume())
    const told = ask(openPool(port), { firstByteMs: 3000, idleMs: 10 })
    await until(() => told.takenCount === 1 && sockets.length === 1)
    vi.advanceTimersByTime(2000)
    sockets[0]?.write('HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nA')
    await turns(20)
    await expectEndAfter(told, 1000)
    expect([codeOf(told), told.status]).toEqual(['UPSTREAM_FIRST_BYTE_TIMEOUT', undefined])
  })

  test('do not count the time in which the body comes and is waited for', async () => {
    fakeTime()
    const { port } = await startServer((socket) => socket.resume())
    const body = new PassThrough()
    const told = ask(openPool(port), { method: 'POST', body, firstByteMs: 3000 })
    await until(() => told.takenCount === 1)
    for (const waitMs of [60_000, 2999, 60_000, 2999]) {
      vi.advanceTimersByTime(waitMs)
      body.write('more')
      await turns(5)
      expect(told.endCount).toBe(0)
    }
    vi.advanceTimersByTime(60_000)
    await turns(5)
    expect(told.endCount).toBe(0)
    body.end()
    await turns(5)
    await expectEndAfter(told, 3000)
    expect(codeOf(told)).toBe('UPSTREAM_FIRST_BYTE_TIMEOUT')
  })

  test('a server that takes no more of the body', async () => {
    fakeTime()
    const { port } = await startServer((socket) => socket.pause())
    const piece = Buffer.alloc(65_536, 'x')
    let given = 0
    const body = new Readable({
      read() {
        given += 1
        this.push(piece)
      },
    })
    const told = ask(openPool(port), { method: 'POST', body, firstByteMs: 3000 })
    await until(() => body.isPaused())
    for (let before = 0; before !== given; await turns(50)) before = given
    await expectEndAfter(told, 3000)
    expect(codeOf(told)).toBe('UPSTREAM_FIRST_BYTE_TIMEOUT')
  })

  test.each([
    ['after its head', 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n'],
    ['in its body', 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell'],
    ['between chunks', `${CHUNKED_HEAD}5\r\nhello\r\n`],
    ['before its trailers', `${CHUNKED_HEAD}5\r\nhello\r\n0\r\n`],
    ['without a length', 'HTTP/1.1 200 OK\r\n\r\nhello'],
  ])('an answer that is stuck %s', async (_, answer) => {
    fakeTime()
    const { port } = await startServer(answerEach((_request, socket) => socket.write(answer)))
    const told = ask(openPool(port), { firstByteMs: 10_000, idleMs: 500 })
    await until(() => told.status === 200)
    await turns(5)
    await expectEndAfter(told, 500)
    expect(codeOf(told)).toBe('UPSTREAM_IDLE_TIMEOUT')
  })

  test('an answer that goes on in time may take for ever', async () => {
    fakeTime()
    const { port, sockets } = await startServer(
      answerEach((_, socket) => socket.write(CHUNKED_HEAD)),
    )
    const told = ask(openPool(port), { firstByteMs: 1000, idleMs: 500 })
    await until(() => told.status === 200)
    for (let i = 1; i <= 20; i += 1) {
      vi.advanceTimersByTime(499)
      sockets[0]?.write(chunkOf('x'))
      await until(() => told.chunks.length === i)
    }
    sockets[0]?.write('0\r\n\r\n')
    await told.over
    expect(told.error).toBeUndefined()
  })

  test.each([1, 3])('nobody is late while paused, when %i chunks came together', async (count) => {
    fakeTime()
    const { port, sockets } = await startServer(
      answerEach((_, socket) => socket.write(CHUNKED_HEAD + chunkOf('x').repeat(count))),
    )
    let isPaused = false
    const told = ask(
      openPool(port),
      { idleMs: 500 },
      {
        onChunk({ control }) {
          if (!isPaused) control.pause()
          isPaused = true
        },
      },
    )
    await until(() => told.chunks.length === count)
    await turns(5)
    vi.advanceTimersByTime(60_000)
    await turns(5)
    expect(told.endCount).toBe(0)
    told.control.resume()
    sockets[0]?.write(chunkOf('y'))
    await until(() => told.chunks.length === count + 1)
    await expectEndAfter(told, 500)
    expect(codeOf(told)).toBe('UPSTREAM_IDLE_TIMEOUT')
  })

  test('after one in which there was a pause, the next has a connection of its own', async () => {
    fakeTime()
    const { port, sockets } = await startServer(
      answerEach((request, socket) => {
        socket.write(request.includes('/first') ? sized('abc') : CHUNKED_HEAD)
      }),
    )
    const pool = openPool(port)
    const first = ask(pool, { target: '/first' }, { onChunk: ({ control }) => control.pause() })
    await first.over
    await turns(3)
    const second = ask(pool, { firstByteMs: 3000, idleMs: 500 })
    await until(() => second.status === 200)
    expect(sockets).toHaveLength(2)
    await expectEndAfter(second, 500)
    expect(codeOf(second)).toBe('UPSTREAM_IDLE_TIMEOUT')
  })

  test('leave no timer when the exchange is over', async () => {
    fakeTime()
    const { port } = await startServer(answerEach((_, socket) => socket.end(sized('abc'))))
    const told = ask(openPool(port))
    await told.over
    await turns(10)
    expect(vi.getTimerCount()).toBe(0)
  })
})

describe('backpressure', () => {
  const LENGTH = 33_554_432

  test.each([undefined, Buffer.allocUnsafeSlow(65_536)])(
    'a paused exchange takes nothing more, and loses nothing (own buffer: %#)',
    async (readBuffer) => {
      const sent = randomBytes(LENGTH)
      const { port, sockets } = await startServer(
        answerEach((_, socket) => {
          socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${LENGTH}\r\n\r\n`)
          socket.write(sent)
        }),
      )
      const pool = openPool(port, readBuffer === undefined ? {} : { readBuffer })
      const told = ask(pool, {}, { onChunk: ({ control }) => control.pause() })
      await until(() => told.chunks.length === 1)
      for (let i = 1; i <= 5; i += 1) {
        await turns(30)
        expect(told.chunks).toHaveLength(i)
        expect(sockets[0]?.writableNeedDrain).toBe(true)
        told.control.resume()
        await until(() => told.chunks.length === i + 1)
      }
      while (told.endCount === 0) {
        told.control.resume()
        await turns(1)
      }
      const hash = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex')
      expect(hash(Buffer.concat(told.chunks))).toBe(hash(sent))
    },
  )

  test('a server that reads nothing pauses the body, of which it then gets all', async () => {
    const { port, sockets } = await startServer((socket) => socket.pause())
    let given = 0
    const piece = Buffer.alloc(65_536, 'x')
    const body = new Readable({
      read() {
        given += piece.length
        this.push(given > LENGTH ? null : piece)
      },
    })
    const told = ask(openPool(port), {
      method: 'POST',
      headers: ['Content-Length', `${LENGTH}`],
      body,
    })
    await until(() => body.isPaused())
    // What lies between takes some of it.
    for (let before = 0; before !== given; await turns(50)) before = given
    expect(given).toBeLessThan(LENGTH)
    let got = 0
    sockets[0]?.on('data', (data) => {
      got += data.length
    })
    sockets[0]?.resume()
    await until(() => got > LENGTH)
    sockets[0]?.write(sized('all'))
    await told.over
    expect(bodyOf(told)).toBe('all')
  })
})

describe('an exchange', () => {
  test('that is ended closes its connection and tells the reason once', async () => {
    const { port, sockets } = await startServer((socket) => socket.resume())
    const told = ask(openPool(port))
    await until(() => told.takenCount === 1 && sockets.length === 1)
    const reason = new Error('no longer wanted')
    told.control.abort(reason)
    told.control.abort(new Error('again'))
    expect([told.error, told.endCount]).toEqual([reason, 1])
    await until(() => sockets[0]?.closed === true)
    await turns(5)
    expect(told.endCount).toBe(1)
  })

  test('that is ended before there is a connection sends nothing', async () => {
    const { port, sockets } = await startServer((socket) => socket.resume())
    const pool = openPool(port)
    const reason = new Error('no longer wanted')
    const told = ask(pool)
    told.control.abort(reason)
    expect([told.error, told.takenCount]).toEqual([reason, 0])
    const next = ask(pool)
    await until(() => next.takenCount === 1 && (sockets.at(-1)?.bytesRead ?? 0) > 0)
    expect([...sockets].reduce((sum, { bytesRead }) => sum + bytesRead, 0)).toBe(
      sockets.at(-1)?.bytesRead,
    )
  })

  test('that is ended as it is taken sends nothing, and nothing is read of its body', async () => {
    const { port, sockets } = await startServer((socket) => socket.resume())
    const pool = openPool(port)
    const reason = new Error('no longer wanted')
    const body = new PassThrough()
    const told = ask(
      pool,
      { method: 'POST', body },
      { onTaken: ({ control }) => control.abort(reason) },
    )
    await told.over
    await until(() => sockets[0]?.closed === true)
    expect([told.error, sockets[0]?.bytesRead, body.listenerCount('data')]).toEqual([reason, 0, 0])
  })

  test('that is over controls nothing of the next one on its connection', async () => {
    const { port, sockets } = await startServer(
      answerEach((request, socket, index) => {
        if (request.includes('/first')) socket.write(sized(`${index}`))
      }),
    )
    const pool = openPool(port)
    const first = ask(pool, { target: '/first' })
    await first.over
    await turns(3)
    first.control.pause()
    const second = ask(pool, {}, { onChunk: ({ control }) => control.pause() })
    expect(second.takenCount).toBe(1)
    first.control.pause()
    first.control.abort(new Error('of the first'))
    sockets[0]?.write(`${CHUNKED_HEAD}${chunkOf('a')}`)
    await until(() => second.chunks.length === 1)
    sockets[0]?.write(`${chunkOf('b')}0\r\n\r\n`)
    first.control.resume()
    await turns(30)
    expect(second.chunks).toHaveLength(1)
    second.control.resume()
    await second.over
    expect([bodyOf(second), second.error, sockets.length]).toEqual(['ab', undefined, 1])
  })

  test.each([
    ['is closed', '', 'UPSTREAM_CLOSED'],
    ['breaks off in the head', 'HTTP/1.1 200', 'UPSTREAM_CLOSED'],
    ['breaks off in the body', sized('abc').slice(0, -1), 'UPSTREAM_CLOSED'],
    ['breaks off in a chunk', `${CHUNKED_HEAD}5\r\nabc`, 'UPSTREAM_CLOSED'],
    ['breaks off before the last chunk', CHUNKED_HEAD + chunkOf('abc'), 'UPSTREAM_CLOSED'],
    ['is not HTTP', 'SSH-2.0-OpenSSH_9.6\r\n\r\n', 'UPSTREAM_MALFORMED'],
    ['changes the protocol', 'HTTP/1.1 101 Switching Protocols\r\n\r\n', 'UPSTREAM_MALFORMED'],
  ])('fails when its connection %s', async (_, answer, code) => {
    const { port } = await startServer(answerEach((_request, socket) => socket.end(answer)))
    const told = ask(openPool(port))
    await told.over
    expect([codeOf(told), told.takenCount]).toEqual([code, 1])
  })

  test('fails when its connection is reset, also after a part of its answer', async () => {
    const { port, sockets } = await startServer(
      answerEach((request, socket) => {
        if (request.includes('/part')) socket.write(CHUNKED_HEAD + chunkOf('a'))
        else socket.resetAndDestroy()
      }),
    )
    const pool = openPool(port)
    const none = ask(pool)
    await none.over
    const part = ask(pool, { target: '/part' }, { onChunk: () => sockets[1]?.resetAndDestroy() })
    await part.over
    expect([part, none].map(codeOf)).toEqual(['ECONNRESET', 'ECONNRESET'])
    expect(bodyOf(part)).toBe('a')
  })

  test('fails when nobody listens, with the reason of the system, and was not taken', async () => {
    const server = createServer().listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port: free } = server.address() as AddressInfo
    server.close()
    await once(server, 'close')
    const told = ask(openPool(free))
    await told.over
    expect([codeOf(told), told.takenCount]).toEqual(['ECONNREFUSED', 0])
  })

  test('ends with the connection where the answer does not say how long it is', async () => {
    const { port } = await startServer(
      answerEach((_, socket) => socket.end('HTTP/1.1 200 OK\r\n\r\nall of it')),
    )
    const told = ask(openPool(port))
    await told.over
    expect([bodyOf(told), told.trailers]).toEqual(['all of it', []])
  })

  test('is told of the trailers', async () => {
    const { port } = await startServer(
      answerEach((_, socket) =>
        socket.write(`${CHUNKED_HEAD}${chunkOf('a')}0\r\nX-Sum: 1\r\n\r\n`),
      ),
    )
    const told = ask(openPool(port))
    await told.over
    expect(told.trailers).toEqual(['x-sum', '1'])
  })
})

test('connections that share a buffer never mix their answers', async () => {
  const { port } = await startServer(
    answerEach((request, socket) => {
      const name = /GET \/(\S+)/.exec(request)?.[1] ?? ''
      const body = name.repeat(2000)
      const text = name.endsWith('s') ? sized(body) : CHUNKED_HEAD + inChunks(body)
      void writeInPieces(text)
      async function writeInPieces(text: string) {
        for (let at = 0; at < text.length;) {
          const length = 1 + Math.floor(Math.random() * 3000)
          socket.write(text.slice(at, at + length))
          at += length
          await turns(1)
        }
      }
    }),
  )
  const inChunks = (body: string) =>
    `${(body.match(/[^]{1,700}/g) ?? []).map(chunkOf).join('')}0\r\n\r\n`
  const readBuffer = Buffer.allocUnsafeSlow(1024)
  const pools = [openPool(port, { readBuffer }), openPool(port, { readBuffer })]
  await Promise.all(
    Array.from({ length: 8 }, async (_, caller) => {
      for (let i = 0; i < 8; i += 1) {
        const name = `${caller}-${i}-${i % 2 === 0 ? 's' : 'c'}`
        const told = ask(pools[caller % 2] ?? openPool(port), { target: `/${name}` })
        await told.over
        expect(bodyOf(told) === name.repeat(2000)).toBe(true)
      }
    }),
  )
})

describe('a request', () => {
  /** Answers with 200 once it has read a request, and keeps that. */
  async function startStrict() {
    const seen: { req: IncomingMessage; body: string }[] = []
    const ports = new Set<number | undefined>()
    const server = createServer((req, res) => {
      ports.add(req.socket.remotePort)
      void buffer(req).then(
        (body) => {
          seen.push({ req, body: body.toString('latin1') })
          res.end('ok')
        },
        () => undefined,
      )
    })
    await once(server.listen(0, '127.0.0.1'), 'listening')
    onClose(() => {
      server.closeAllConnections()
      server.close()
    })
    const { port } = server.address() as AddressInfo
    return { port, seen, ports }
  }

  test.each([
    ['GET', []],
    ['HEAD', []],
    ['DELETE', []],
    ['POST', ['content-length', '0']],
    ['PUT', ['content-length', '0']],
    ['PATCH', ['content-length', '0']],
  ])('%s without a body', async (method, framing) => {
    const { port, seen } = await startStrict()
    const told = ask(openPool(port), { method, target: '/a?b=c%20d', headers: ['X-A', 'b'] })
    await told.over
    const [{ req, body } = { req: undefined, body: undefined }] = seen
    expect([req?.method, req?.url, body]).toEqual([method, '/a?b=c%20d', ''])
    expect(req?.rawHeaders).toEqual(['host', `127.0.0.1:${port}`, 'X-A', 'b', ...framing])
  })

  test('with a body in one piece says how long it is, once', async () => {
    const { port, seen } = await startStrict()
    const pool = openPool(port)
    const body = Buffer.from('h\xe9llo\r\n\r\n', 'latin1')
    await ask(pool, { method: 'POST', body }).over
    await ask(pool, { method: 'POST', body, headers: ['CONTENT-LENGTH', '9'] }).over
    expect(seen.map(({ body }) => body)).toEqual(Array(2).fill('h\xe9llo\r\n\r\n'))
    expect(seen.map(({ req }) => req.rawHeaders.slice(2))).toEqual([
      ['content-length', '9'],
      ['CONTENT-LENGTH', '9'],
    ])
  })

  test('keeps the bytes of its headers', async () => {
    const { port, seen } = await startStrict()
    const headers = ['X-Latin', 'caf\xe9 \xff', 'X-Empty', '']
    await ask(openPool(port), { method: 'POST', headers, body: Buffer.from('x') }).over
    await ask(openPool(port), { method: 'POST', headers, body: Readable.from([Buffer.from('x')]) })
      .over
    for (const { req } of seen) expect(req.rawHeaders.slice(2, 6)).toEqual(headers)
    expect(seen).toHaveLength(2)
  })

  const pieces = Array.from({ length: 40 }, (_, i) => Buffer.alloc(i * 997 + 1, String(i)))
  const whole = Buffer.concat(pieces).toString()
  const streamed = () => Readable.from(pieces, { objectMode: false })

  test('with a stream whose length is known is sent as it is', async () => {
    const { port, seen } = await startStrict()
    const headers = ['Content-Length', `${whole.length}`]
    await ask(openPool(port), { method: 'POST', headers, body: streamed() }).over
    expect(seen[0]?.body === whole).toBe(true)
    expect(seen[0]?.req.rawHeaders.slice(2)).toEqual(headers)
  })

  test('with another stream goes in chunks, with the trailers that may pass', async () => {
    const { port, seen } = await startStrict()
    let isRead = false
    const body = streamed().once('end', () => {
      isRead = true
    })
    const told = ask(openPool(port), {
      method: 'POST',
      body,
      trailers: () =>
        forwardableTrailers(
          [
            'X-Sum',
            String(isRead),
            'Content-Length',
            '5',
            'Authorization',
            'Bearer x',
            'X-Gatehouse-Subject',
            'root',
            'x_gatehouse_tenant',
            'other',
            'Host',
            'elsewhere',
            'Transfer-Encoding',
            'chunked',
            'Content-Encoding',
            'gzip',
            'X-Last',
            'caf\xe9',
          ],
          undefined,
        ),
    })
    await told.over
    expect(seen[0]?.body === whole).toBe(true)
    const { rawHeaders, rawTrailers } = seen[0]?.req ?? {}
    expect(rawHeaders?.slice(2)).toEqual(['transfer-encoding', 'chunked'])
    expect(rawTrailers?.map((text) => text.toLowerCase())).toEqual([
      'x-sum',
      'true',
      'x-last',
      'caf\xe9',
    ])
  })

  test('is not ended by an empty piece of its body', async () => {
    const { port, seen } = await startStrict()
    const parts = ['a', '', 'b', ''].map((text) => Buffer.from(text))
    const told = ask(openPool(port), { method: 'POST', body: Readable.from(parts) })
    await told.over
    expect([told.status, seen.map(({ body }) => body)]).toEqual([200, ['ab']])
  })

  test('leaves its connection as it was: many with streams go one after the other', async () => {
    const warnings: Error[] = []
    const onWarning = (warning: Error) => warnings.push(warning)
    process.on('warning', onWarning)
    onTestFinished(() => void process.off('warning', onWarning))
    const { port, ports, seen } = await startStrict()
    const pool = openPool(port)
    for (let i = 0; i < 15; i += 1) {
      await ask(pool, { method: 'POST', body: streamed(), trailers: () => [['x', `${i}`]] }).over
      await turns(3)
    }
    expect([ports.size, seen.length, warnings]).toEqual([1, 15, []])
  })

  test('whose body fails fails of that, and its connection is closed', async () => {
    const { port, sockets } = await startServer((socket) => socket.resume())
    const body = new PassThrough()
    const told = ask(openPool(port), { method: 'POST', body })
    body.write('some')
    await until(() => (sockets[0]?.bytesRead ?? 0) > 0)
    const reason = new Error('the caller has gone')
    body.destroy(reason)
    await told.over
    expect(told.error).toBe(reason)
    await until(() => sockets[0]?.closed === true)
  })

  test.each(['answered', 'aborted', 'closed'])(
    'leaves a body that is not over: %s',
    async (how) => {
      const { port, sockets } = await startServer((socket) => {
        socket.once('data', () => {
          if (how === 'answered') socket.write(sized('enough'))
          if (how === 'closed') socket.destroy()
        })
      })
      const body = new PassThrough()
      body.write('some')
      const told = ask(openPool(port), { method: 'POST', body })
      await until(() => (sockets[0]?.bytesRead ?? 0) > 0)
      if (how === 'aborted') told.control.abort(new Error('no longer wanted'))
      await told.over
      await until(() => body.destroyed)
      expect(['data', 'end', 'error'].map((name) => body.listenerCount(name))).toEqual([0, 0, 0])
    },
  )
})

test('each exchange ends once, whatever the server and who asked do, and leaves nothing for the next', async () => {
  const behaviour = fc.record({
    answer: mutatedAnswers,
    cuts: fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 4 }),
    last: fc.constantFrom('end', 'destroy', 'reset', 'keep'),
    abortIn: fc.constantFrom(undefined, undefined, 'onHead', 'onChunk', 'onEnd'),
    isPausing: fc.boolean(),
  })
  let toDo: ((socket: Socket) => Promise<void>) | undefined
  const { port } = await startServer(
    answerEach((request, socket) => {
      if (request.includes('/good')) socket.write(sized('good'))
      else void toDo?.(socket)
    }),
  )
  await fc.assert(
    fc.asyncProperty(behaviour, async ({ answer, cuts, last, abortIn, isPausing }) => {
      const { method, text } = answer
      const { promise: done, resolve } = Promise.withResolvers<void>()
      toDo = async (socket) => {
        const places = cuts.map((cut) => Math.floor(cut * text.length)).toSorted((a, b) => a - b)
        for (const [i, from] of [0, ...places].entries()) {
          socket.write(text.slice(from, places[i]), 'latin1')
          await turns(1)
        }
        if (last === 'end') socket.end()
        if (last === 'destroy') socket.destroy()
        if (last === 'reset') socket.resetAndDestroy()
        resolve()
      }
      const pool = openPool(port)
      const reason = new Error('no longer wanted')
      const react = (name: string) => (told: ReturnType<typeof ask>) => {
        if (abortIn === name) told.control.abort(reason)
        if (name !== 'onChunk' || !isPausing) return
        told.control.pause()
        void turns(1).then(() => told.control.resume())
      }
      const told = ask(
        pool,
        { method },
        { onHead: react('onHead'), onChunk: react('onChunk'), onEnd: react('onEnd') },
      )
      await Promise.all([done, until(() => told.takenCount === 1)])
      await turns(5)
      // It may be waiting for more.
      told.control.abort(reason)
      await told.over
      await turns(2)
      const next = ask(pool, { target: '/good' })
      await next.over
      // What came too late to be seen as surplus is no answer, but a server that answers is never waited for in vain.
      expect(String(codeOf(next))).not.toMatch('TIMEOUT')
      expect([told.endCount, next.endCount]).toEqual([1, 1])
      pool.close()
    }),
    { numRuns: 150 },
  )
})
