import { createServer, type IncomingMessage } from 'node:http'
import { once } from 'node:events'
import { connect } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { createReadAhead } from '../../src/proxy/read-ahead.ts'
import { waitUntil } from '../support/wait-until.ts'

/** A request whose body of that length nobody reads yet. */
async function upload(length: number): Promise<IncomingMessage> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  const socket = connect({ port: typeof address === 'object' ? (address?.port ?? 0) : 0 })
  socket.on('error', () => {})
  onTestFinished(() => {
    socket.destroy()
    server.close()
  })
  socket.write(`POST / HTTP/1.1\r\nHost: x\r\nContent-Length: ${length}\r\n\r\n`)
  socket.write(Buffer.alloc(length, 'x'))
  const request = await once(server, 'request')
  return request[0]
}

const MEBIBYTE = 1024 * 1024

test('bodies are read during the wait while each is at most an eighth of what is left', async () => {
  const readAhead = createReadAhead(8 * MEBIBYTE)
  const first = Promise.withResolvers<string>()
  const [read, unread, smaller] = await Promise.all([
    upload(MEBIBYTE),
    upload(MEBIBYTE),
    upload(MEBIBYTE / 2),
  ])
  const wait = readAhead.during(read, MEBIBYTE, first.promise)
  await Promise.all([
    readAhead.during(
      unread,
      MEBIBYTE,
      waitUntil('the first', async () => read.complete),
    ),
    readAhead.during(
      smaller,
      MEBIBYTE / 2,
      waitUntil('it', async () => smaller.complete),
    ),
  ])
  expect(unread.complete).toBe(false)
  expect(unread.readableLength).toBeLessThanOrEqual(2 * unread.readableHighWaterMark)
  first.resolve('admitted')
  expect(await wait).toBe('admitted')
  expect(read.readableLength).toBe(MEBIBYTE)
  await readAhead.during(
    unread,
    MEBIBYTE,
    waitUntil('it', async () => unread.complete),
  )
})

test('a refusal of what has come throws it away, and is the refusal', async () => {
  const readAhead = createReadAhead()
  const req = await upload(MEBIBYTE)
  const refusal = waitUntil('it', async () => req.complete).then(() => {
    throw new Error('refused')
  })
  await expect(readAhead.during(req, MEBIBYTE, refusal)).rejects.toThrow('refused')
  await waitUntil('nothing is left of it', async () => req.readableEnded)
})
