import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { buffer } from 'node:stream/consumers'

/** What arrived at the model server, headers as they stood on the wire. */
export type ReceivedRequest = {
  method: string
  target: string
  headers: Record<string, string | string[] | undefined>
  rawHeaders: string[]
  body: Buffer
}

type Respond = (req: IncomingMessage, res: ServerResponse) => void | Promise<void>

export type ModelServer = {
  url: string
  received: ReceivedRequest[]
  /** Replaces what it answers; by default, and again without one, 200 and a small JSON document. */
  answer: (respond?: Respond) => void
  close: () => Promise<void>
}

/** A stand-in for the model server that remembers what reached it. */
export async function startModelServer(port = 0): Promise<ModelServer> {
  const received: ReceivedRequest[] = []
  const remember: Respond = async (req, res) => {
    const body = await buffer(req)
    const { method = '', url: target = '', headers, rawHeaders } = req
    received.push({ method, target, headers, rawHeaders, body })
    res.setHeader('content-type', 'application/json').end('{"ok":true}')
  }
  let respond = remember
  // A request that breaks off is the test's own doing.
  const server = createServer(async (req, res) => {
    try {
      await respond(req, res)
    } catch {
      res.destroy()
    }
  })
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve))
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  return {
    url: `http://127.0.0.1:${address.port}`,
    received,
    answer(next = remember) {
      respond = next
    },
    close() {
      server.closeAllConnections()
      return new Promise((resolve) => server.close(() => resolve()))
    },
  }
}
