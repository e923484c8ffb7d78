import { once } from 'node:events'
import { createServer, type AddressInfo, type Socket } from 'node:net'

/** A Redis Sentinel that says when a test tells it to. */
export type FakeSentinel = {
  url: string
  /** How often it was asked who is master. */
  timesAsked: () => number
  /** Connections on which somebody waits to hear of a new master. */
  subscribers: () => number
  /** From now on who asks gets no answer; the function that is given answers them, and everybody after them. */
  hold: () => () => void
  /** Tells the subscribers that there is a new master, which is the same. */
  announce: () => void
  stop: () => Promise<void>
}

const NAME = 'gatehouse'

export async function startFakeSentinel(masterPort: number): Promise<FakeSentinel> {
  const sockets = new Set<Socket>()
  const subscribers = new Set<Socket>()
  let timesAsked = 0
  let held: (() => void)[] | undefined

  const answer = (socket: Socket, [name = '', ...args]: readonly string[]): void => {
    switch (name.toLowerCase()) {
      case 'subscribe':
        subscribers.add(socket)
        socket.write(`*3\r\n${bulk('subscribe')}${bulk(args[0] ?? '')}:1\r\n`)
        return
      case 'sentinel': {
        timesAsked += 1
        const say = () => void socket.write(`*2\r\n${bulk('127.0.0.1')}${bulk(String(masterPort))}`)
        if (held === undefined) say()
        else held.push(say)
        return
      }
      default:
        socket.write('+OK\r\n')
    }
  }
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => undefined)
    socket.on('close', () => {
      sockets.delete(socket)
      subscribers.delete(socket)
    })
    let text = ''
    socket.setEncoding('utf8').on('data', (chunk: string) => {
      const { commands, rest } = readCommands(text + chunk)
      text = rest
      for (const command of commands) answer(socket, command)
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo

  return {
    url: `redis+sentinel://127.0.0.1:${port}/${NAME}`,
    timesAsked: () => timesAsked,
    subscribers: () => subscribers.size,
    hold() {
      const waiting: (() => void)[] = []
      held = waiting
      return () => {
        held = undefined
        for (const say of waiting) say()
      }
    },
    announce() {
      const news = `${NAME} 127.0.0.1 ${masterPort} 127.0.0.1 ${masterPort}`
      for (const socket of subscribers) {
        socket.write(`*3\r\n${bulk('message')}${bulk('+switch-master')}${bulk(news)}`)
      }
    },
    async stop() {
      for (const socket of sockets) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  }
}

const bulk = (text: string): string => `$${Buffer.byteLength(text)}\r\n${text}\r\n`

/** Arrays of bulk strings, which is all that a client sends, as far as they are there; all of it is ASCII here. */
function readCommands(text: string): { commands: string[][]; rest: string } {
  const commands: string[][] = []
  let rest = text
  for (;;) {
    const count = Number(/^\*(\d+)\r\n/.exec(rest)?.[1])
    const whole = new RegExp(`^\\*\\d+\\r\\n(?:\\$\\d+\\r\\n[^\\r]*\\r\\n){${count}}`).exec(
      rest,
    )?.[0]
    if (Number.isNaN(count) || whole === undefined) return { commands, rest }
    commands.push([...whole.matchAll(/\$\d+\r\n([^\r]*)\r\n/g)].map(([, word = '']) => word))
    rest = rest.slice(whole.length)
  }
}
