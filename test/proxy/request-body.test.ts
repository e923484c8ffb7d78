import { once } from 'node:events'
import { createServer, type IncomingMessage } from 'node:http'
import { connect, type AddressInfo } from 'node:net'
import { buffer } from 'node:stream/consumers'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ClientGone } from '../../src/proxy/client-gone.ts'
import { readRequestBody, type BodyLimits } from '../../src/proxy/request-body.ts'
import { readRequestHeaders } from '../../src/proxy/request-headers.ts'

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
  const [req] = (await once(server, 'request')) as [IncomingMessage]
  return { socket, req }
}

const read = (
  req: IncomingMessage,
  { signal = new AbortController().signal, leastRate }: Partial<BodyLimits> = {},
) =>
  Promise.resolve(
    readRequestBody(req, readRequestHeaders(req.rawHeaders), {
      maxBytes: 1_000_000,
      idleMs: 60_000,
      bytes: { in: 0 },
      onChunk: () => {},
      onSpent: () => {},
      signal,
      ...(leastRate && { leastRate }),
    }),
  )

describe('a small body', () => {
  test('is read whole', async () => {
    const { req, socket } = await send('hello', 5)
    expect(String(await read(req))).toBe('hello')
    socket.destroy()
  })

  test.each([
    ['all of it had come', 'hello'],
    ['a part of it had come', 'he'],
  ])('of a client that had left before it is read, when %s', async (_, sent) => {
    const { req, socket } = await send(sent, 5)
    socket.destroy()
    await new Promise((resolve) => req.once('close', resolve))
    await expect(read(req)).rejects.toThrow(ClientGone)
  })

  test('of a client that leaves in the middle', async () => {
    const { req, socket } = await send('he', 5)
    const reading = read(req)
    socket.destroy()
    await expect(reading).rejects.toThrow(ClientGone)
  })

  test('is not waited for once the call has been ended', async () => {
    const { req, socket } = await send('he', 5)
    const signal = AbortSignal.abort(new Error('revoked'))
    await expect(read(req, { signal })).rejects.toThrow('revoked')
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
