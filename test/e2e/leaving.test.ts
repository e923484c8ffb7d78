import { once } from 'node:events'
import { connect } from 'node:net'
import { expect, test } from 'vitest'
import { startLoneProxy } from '../support/lone-proxy.ts'

test('clients may leave in uploads that no model server is there to take', async () => {
  const proxy = await startLoneProxy()
  await proxy.model.close()
  const authorization = `Bearer ${await proxy.issuer.sign()}`
  const leave = async (bytes: number, afterMs: number) => {
    const socket = connect(proxy.port, '127.0.0.1').resume()
    // That it is reset is no failure.
    socket.on('error', () => {})
    const head = [
      'POST /v1/chat/completions HTTP/1.1',
      'Host: localhost',
      `Authorization: ${authorization}`,
      'Content-Length: 1048576',
      'Connection: close',
    ]
    socket.write(`${head.join('\r\n')}\r\n\r\n`)
    socket.write(Buffer.alloc(bytes))
    setTimeout(() => socket.destroy(), afterMs)
    await once(socket, 'close')
  }
  // Before it is refused, while it is, and while the rest of its body is thrown away.
  for (const afterMs of [0, 1, 2, 3, 5, 8, 13]) {
    for (const bytes of [1, 524_288, 1_048_576]) {
      for (let i = 0; i < 10; i += 1) await leave(bytes, afterMs)
    }
  }
  expect((await proxy.call(authorization)).status).toBe(502)
  await proxy.close()
})
