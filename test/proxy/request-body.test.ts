import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { connect, type AddressInfo } from 'node:net'
import { buffer } from 'node:stream/consumers'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ClientGone } from '../../src/proxy/client-gone.ts'
import { Ending } from '../../src/proxy/ending.ts'
import { readRequestBody, type BodyLimits } from '../../src/proxy/request-body.ts'
import { readRequestHeaders } from '../../src/proxy/request-headers.ts'
import { waitUntil } from '../support/wait-until.ts'

const server = createServer()
beforeAll(async () => {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
})
afterAll(() => void server.close())

async function send(body: string, length: number) {
  const { port } = server.address() as AddressInfo
  const socket = connect(port, '127.0.0.1')
  socket.write(`POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${length}\r\n\r\n${body}`)
  const [req, res] = (await once(server, 'request')) as [IncomingMessage, ServerResponse]
  return { socket, req, res }
}

const LIMITS: BodyLimits = {
  maxBytes: 1_000_000,
  idleMs: 60_000,
  bytes: { in: 0 },
  onChunk: () => {},
  onSpent: () => {},
  ending: new Ending(),
}

const read = async (req: IncomingMessage, limits: Partial<BodyLimits> = {}) =>
  readRequestBody(req, readRequestHeaders(req.rawHeaders), {
    ...LIMITS,
    bytes: { in: 0 },
    ...limits,
  })

describe('a small body', () => {
  test('is read whole', async () => {
    const { req, socket } = await send('hello', 5)
    expect(String(await read(req))).toBe('hello')
    socket.destroy()
  })

  test('is read whole in pieces, of which some had come', async () => {
    const { req, socket } = await send('he', 5)
    await waitUntil('a piece', async () => req.readableLength === 2)
    const reading = read(req)
    socket.write('llo')
    expect(String(await reading)).toBe('hello')
    socket.destroy()
  })

  test.each([
    ['at once', ['hello']],
    ['in pieces', ['he', 'll', 'o']],
  ] as const)(
    'that has come %s is counted and given whole, and the connection is good for the next',
    async (_, [first, ...others]) => {
      const { req, res, socket } = await send(first, 5)
      let length = first.length
      for (const piece of others) {
        await waitUntil('a piece', async () => req.readableLength === length)
        socket.write(piece)
        length += piece.length
      }
      await waitUntil('the body', async () => req.readableLength === 5)
      const bytes = { in: 0 }
      const body = readRequestBody(req, readRequestHeaders(req.rawHeaders), { ...LIMITS, bytes })
      expect([body, bytes.in]).toEqual([Buffer.from('hello'), 5])
      const next = once(server, 'request')
      res.end()
      socket.write('GET /next HTTP/1.1\r\nHost: localhost\r\n\r\n')
      const [{ url }] = (await next) as [IncomingMessage]
      expect([url, req.complete]).toEqual(['/next', true])
      socket.destroy()
    },
  )

  test.each([
    ['all of it had come', 'hello'],
    ['a part of it had come', 'he'],
  ])('of a client that had left before it is read, when %s', async (_, sent) => {
    const { req, socket } = await send(sent, 5)
    const ending = new Ending()
    ending.end(new ClientGone())
    await expect(read(req, { ending })).rejects.toThrow(ClientGone)
    socket.destroy()
  })

  test('of a client that leaves in the middle', async () => {
    const { req, socket } = await send('he', 5)
    const ending = new Ending()
    const reading = read(req, { ending })
    ending.end(new ClientGone())
    await expect(reading).rejects.toThrow(ClientGone)
    socket.destroy()
  })

  test('is not waited for once the call has been ended', async () => {
    const { req, socket } = await send('he', 5)
    const ending = new Ending()
    ending.end(new Error('revoked'))
    await expect(read(req, { ending })).rejects.toThrow('revoked')
    socket.destroy()
  })
})

test.each([
  ['small', 1000],
  ['large', 1_000_000],
])('a %s body that comes a byte at a time is not waited for', async (_, length) => {
  const { req, socket } = await send('x', length)
  socket.on('error', () => {})
  const dripping = setInterval(() => socket.write('x'), 5)
  const leastRate = { graceMs: 50, bytesPerSecond: 64_000 }
  const whole = async () => {
    const body = await read(req, { leastRate })
    return typeof body === 'function' ? buffer(body()) : body
  }
  await expect(whole()).rejects.toMatchObject({ code: 'request_timeout' })
  clearInterval(dripping)
  socket.destroy()
})
