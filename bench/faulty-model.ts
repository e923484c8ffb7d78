import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { setTimeout as delay } from 'node:timers/promises'
import { createRandom } from '../test/support/random.ts'

/**
 * A model server that is not to be relied on: most requests are answered, as JSON or as a stream; others stall, are reset or
 * end in garbage, before the answer or in its middle. Usage: `node faulty-model.ts <port> <seed>`
 */
const [port, seed] = process.argv.slice(2).map(Number)
const random = createRandom(seed ?? 1)

type Behaviour = (req: IncomingMessage, res: ServerResponse) => void | Promise<void>

const ANSWER = JSON.stringify({
  choices: [{ index: 0, message: { role: 'assistant', content: 'x'.repeat(300) } }],
  usage: { prompt_tokens: 800, completion_tokens: 100 },
})
const EVENT = `data: ${JSON.stringify({ choices: [{ delta: { content: 'x' } }] })}\n\n`

const behaviours: readonly (readonly [share: number, Behaviour])[] = [
  [60, answers],
  [20, streams],
  [3, answersBeforeTheBody],
  [3, () => {}],
  [3, stallsHalfway],
  [3, resets],
  [3, resetsHalfway],
  [3, ({ socket }) => void socket.end('this is not HTTP\r\n\r\n')],
  [
    2,
    ({ socket }) =>
      void socket.end('HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 7\r\n\r\n'),
  ],
]
const total = behaviours.reduce((sum, [share]) => sum + share, 0)

createServer((req, res) => {
  if (req.url === '/health') res.end()
  else void Promise.resolve(pick()(req, res)).catch(() => res.destroy())
}).listen(port, '127.0.0.1')

function pick(): Behaviour {
  let at = random() * total
  for (const [share, behaviour] of behaviours) {
    at -= share
    if (at < 0) return behaviour
  }
  return answers
}

async function answers(req: IncomingMessage, res: ServerResponse): Promise<void> {
  for await (const _ of req);
  await delay(random() * 50)
  res.writeHead(200, { 'content-type': 'application/json' })
  res.end(ANSWER)
}

async function streams(req: IncomingMessage, res: ServerResponse): Promise<void> {
  for await (const _ of req);
  res.writeHead(200, { 'content-type': 'text/event-stream' })
  for (let event = 0; event < 20 && !res.closed; event += 1) {
    res.write(EVENT)
    await delay(20)
  }
  res.end('data: [DONE]\n\n')
}

function answersBeforeTheBody(_req: IncomingMessage, res: ServerResponse): void {
  res.writeHead(413, { connection: 'close' })
  res.end('too large')
}

function stallsHalfway(_req: IncomingMessage, res: ServerResponse): void {
  res.writeHead(200, { 'content-type': 'text/event-stream' })
  res.write(EVENT)
}

function resets({ socket }: IncomingMessage): void {
  socket.resetAndDestroy()
}

function resetsHalfway({ socket }: IncomingMessage, res: ServerResponse): void {
  res.writeHead(200, { 'content-length': 1000 })
  res.write('x'.repeat(100), () => socket.resetAndDestroy())
}
