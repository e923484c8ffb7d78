import { connect, type Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'

/** How a client's one request ended for it. */
export type Ending =
  /** It got a whole answer. */
  | { kind: 'answered'; status: number }
  /** The proxy closed the connection without one. */
  | { kind: 'cut' }
  | { kind: 'left' }
  /** Nothing came and nothing closed for longer than every time-out. */
  | { kind: 'hung' }

export type Sent = {
  id: string
  behaviour: string
  /** The request is one, and the proxy has to account for it. */
  isWhole: boolean
  ending: Ending
}

type Target = { port: number; token: string; id: string }
type Behaviour = {
  /** Whether the headers are sent to their end. */
  isWhole: boolean
  run: (client: Client, target: Target, random: () => number) => Promise<void>
}
type Client = { socket: Socket; send: (text: string | Buffer) => void }

const HUNG_AFTER_MS = 60_000
const CHAT = JSON.stringify({ model: 'm', messages: [{ role: 'user', content: 'read' }] })
const LARGE_BYTES = 1_048_576

const head = (
  { id, token }: Target,
  length: number,
  method = 'POST',
  path = '/v1/chat/completions',
) =>
  [
    `${method} ${path} HTTP/1.1`,
    'Host: localhost',
    `Authorization: Bearer ${token}`,
    `X-Request-Id: ${id}`,
    'Content-Type: application/json',
    `Content-Length: ${length}`,
    'Connection: close',
    '',
    '',
  ].join('\r\n')

/** What clients do, as often as is said. The slow ones stop sending: it is for the proxy to end that. */
export const BEHAVIOURS: Readonly<Record<string, Behaviour & { share: number }>> = {
  asks: {
    share: 50,
    isWhole: true,
    run: async ({ send }, target) => send(head(target, CHAT.length) + CHAT),
  },
  uploads: {
    share: 8,
    isWhole: true,
    run: async ({ send }, target) => {
      send(head(target, LARGE_BYTES))
      send(Buffer.alloc(LARGE_BYTES, 'x'))
    },
  },
  'uploads in chunks': {
    share: 5,
    isWhole: true,
    run: async ({ send }, target) => {
      send(head(target, 0).replace('Content-Length: 0', 'Transfer-Encoding: chunked'))
      const chunk = 'x'.repeat(65_536)
      for (let i = 0; i < 4; i += 1) send(`10000\r\n${chunk}\r\n`)
      send('0\r\n\r\n')
    },
  },
  'has no good token': {
    share: 5,
    isWhole: true,
    run: async ({ send }, target) =>
      send(head({ ...target, token: `${target.token}x` }, CHAT.length) + CHAT),
  },
  'asks for what is not there': {
    share: 3,
    isWhole: true,
    run: async ({ send }, target) => send(head(target, 0, 'GET', '/nothing')),
  },
  'leaves in its headers': {
    share: 3,
    isWhole: false,
    run: async ({ send, socket }, target) => {
      send(head(target, 10).slice(0, 60))
      await delay(20)
      socket.destroy()
    },
  },
  'leaves after its headers': {
    share: 4,
    isWhole: true,
    run: async ({ send, socket }, target) => {
      send(head(target, LARGE_BYTES))
      await delay(20)
      socket.destroy()
    },
  },
  'leaves in its body': {
    share: 4,
    isWhole: true,
    run: async ({ send, socket }, target) => {
      send(head(target, LARGE_BYTES))
      send(Buffer.alloc(LARGE_BYTES / 2, 'x'))
      await delay(30)
      socket.destroy()
    },
  },
  'leaves while it waits': {
    share: 4,
    isWhole: true,
    run: async ({ send, socket }, target, random) => {
      send(head(target, CHAT.length) + CHAT)
      await delay(random() * 30)
      socket.destroy()
    },
  },
  'leaves in the answer': {
    share: 4,
    isWhole: true,
    run: async ({ send, socket }, target) => {
      send(head(target, CHAT.length) + CHAT)
      socket.once('data', () => socket.destroy())
    },
  },
  'stops in its headers': {
    share: 1,
    isWhole: false,
    run: async ({ send }, target) => send(head(target, 10).slice(0, 60)),
  },
  'stops in its body': {
    share: 1,
    isWhole: true,
    run: async ({ send }, target) => send(`${head(target, CHAT.length)}{`),
  },
  'takes nothing': {
    share: 1,
    isWhole: true,
    run: async ({ send, socket }, target) => {
      send(head(target, CHAT.length) + CHAT)
      socket.pause()
      await delay(3000)
      socket.resume()
    },
  },
}

/** Sends one request on a connection of its own, and waits until it is over. */
export async function callOnce(
  behaviour: string,
  target: Target,
  random: () => number,
): Promise<Sent> {
  const { isWhole = false, run } = BEHAVIOURS[behaviour] ?? {}
  const socket = connect(target.port, '127.0.0.1')
  let received = ''
  let isEnded = false
  socket.setEncoding('latin1')
  socket.on('data', (text: string) => (received += text))
  socket.on('end', () => (isEnded = true))
  // Resets are endings, too.
  socket.on('error', () => {})
  const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()))
  await run?.({ socket, send: (text) => void socket.write(text) }, target, random)
  const hung = delay(HUNG_AFTER_MS, 'hung' as const, { ref: false })
  const isHung = (await Promise.race([closed, hung])) === 'hung'
  socket.destroy()
  const has = { id: target.id, behaviour, isWhole }
  if (isHung) return { ...has, ending: { kind: 'hung' } }
  if (isAnswered(received, isEnded)) {
    return { ...has, ending: { kind: 'answered', status: Number(received.slice(9, 12)) } }
  }
  return { ...has, ending: { kind: behaviour.startsWith('leaves') ? 'left' : 'cut' } }
}

/** With `Connection: close`: by its length, by its last chunk, or by the end of the connection. */
function isAnswered(text: string, isEnded: boolean): boolean {
  const end = text.indexOf('\r\n\r\n')
  if (end === -1) return false
  const headers = text.slice(0, end).toLowerCase()
  const length = /^content-length: (\d+)$/m.exec(headers)?.[1]
  if (length !== undefined) return text.length - end - 4 >= Number(length)
  if (headers.includes('transfer-encoding: chunked')) return text.endsWith('0\r\n\r\n')
  return isEnded
}
