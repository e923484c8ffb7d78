import { randomInt } from 'node:crypto'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { setImmediate as soon, setTimeout as pause } from 'node:timers/promises'

/** What the model server has sent in answer to a request. */
export type Said = {
  usage: { prompt_tokens: number; completion_tokens: number } | undefined
  /** Parts of a stream that bring text. */
  pieces: number
}

export type CountingModel = {
  url: string
  /** By request id; more than one for a request that came again. */
  said: ReadonlyMap<string, readonly Said[]>
  /** Breaks off everything, is away for a moment, and comes back empty-handed. */
  kill: (awayMs: number) => Promise<void>
  close: () => Promise<void>
}

/** What an image may make the model write. */
const HOSTILE = '"}]},"usage":{"prompt_tokens":0,"completion_tokens":0},"x":"\\'

/** A model server that answers in every way that one may, well or not, and keeps count of what it said. */
export async function startCountingModel(): Promise<CountingModel> {
  const said = new Map<string, Said[]>()
  const server = createServer((req, res) => {
    const entry: Said = { usage: undefined, pieces: 0 }
    const id = String(req.headers['x-request-id'])
    said.set(id, [...(said.get(id) ?? []), entry])
    req.on('error', () => undefined)
    answer(req, res, entry).catch(() => res.destroy())
  })
  const listen = (port: number) =>
    new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve))
  const stop = () => {
    const stopped = new Promise((resolve) => server.close(resolve))
    server.closeAllConnections()
    return stopped
  }
  await listen(0)
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  return {
    url: `http://127.0.0.1:${address.port}`,
    said,
    async kill(awayMs) {
      await stop()
      await pause(awayMs)
      await listen(address.port)
    },
    async close() {
      await stop()
    },
  }
}

async function answer(req: IncomingMessage, res: ServerResponse, said: Said): Promise<void> {
  if (req.url === '/health') return void res.end('ok')
  for await (const _chunk of req);
  const way = randomInt(100)
  if (way < 5) return void res.destroy()
  if (way < 10) return sendJson(res, 422, { detail: 'too blurred' })
  if (way < 40) await pause(randomInt(20))
  if (way < 60) {
    const usage = state(said)
    const message = { role: 'assistant', content: HOSTILE.repeat(randomInt(4)) }
    return sendJson(res, 200, { choices: [{ index: 0, message }], usage })
  }
  res.writeHead(200, { 'content-type': 'text/event-stream' })
  const pieces = 1 + randomInt(8)
  for (let i = 0; i < pieces && !res.destroyed; i += 1) {
    said.pieces += 1
    send(res, { choices: [{ index: 0, delta: { content: HOSTILE } }] })
    await (randomInt(4) === 0 ? pause(randomInt(5)) : soon())
  }
  if (way >= 95) return void res.destroy()
  if (way < 85) send(res, { choices: [], usage: state(said) })
  res.end('data: [DONE]\n\n')
}

function state(said: Said) {
  said.usage = { prompt_tokens: 1 + randomInt(2000), completion_tokens: 1 + randomInt(400) }
  return said.usage
}

const send = (res: ServerResponse, event: object) => res.write(`data: ${JSON.stringify(event)}\n\n`)

function sendJson(res: ServerResponse, status: number, body: object): void {
  res.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
}
