import { connect, type Socket } from 'node:net'

/** A bare TCP connection to a server on this machine. */
export type RawConnection = {
  socket: Socket
  send: (bytes: string) => void
  /** All that has come so far. */
  received: () => string
  /** Resolves once that much has come that it is true of it; rejects when the server closes before. */
  receives: (isEnough: (text: string) => boolean) => Promise<string>
  /** Resolves with all that came once the server has closed its side. */
  ends: () => Promise<string>
}

/** With `staysOpen`, it does not close its own side when the server closes its. */
export function openRawConnection(
  port: number,
  { staysOpen = false }: { staysOpen?: boolean } = {},
): Promise<RawConnection> {
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: staysOpen })
  let text = ''
  let hasEnded = false
  const watchers = new Set<() => void>()
  const notify = () => watchers.forEach((watch) => watch())
  const onEnd = () => {
    hasEnded = true
    notify()
  }
  socket.setEncoding('utf8')
  socket.on('data', (chunk: string) => {
    text += chunk
    notify()
  })
  socket.on('end', onEnd)
  socket.on('close', onEnd)

  const waitUntil = (isDone: () => boolean, mayEnd: boolean) =>
    new Promise<string>((resolve, reject) => {
      const watch = () => {
        if (isDone()) resolve(text)
        else if (hasEnded && !mayEnd) reject(new Error(`closed after: ${text}`))
        else return
        watchers.delete(watch)
      }
      watchers.add(watch)
      watch()
    })

  return new Promise((resolve, reject) => {
    socket.once('error', reject)
    socket.once('connect', () => {
      socket.off('error', reject)
      // A reset ends the connection too; `close` follows.
      socket.on('error', () => {})
      resolve({
        socket,
        send: (bytes) => void socket.write(bytes),
        received: () => text,
        receives: (isEnough) => waitUntil(() => isEnough(text), false),
        ends: () => waitUntil(() => hasEnded, true),
      })
    })
  })
}

export type RawAnswer = {
  status: number
  reason: string
  headers: Record<string, string>
  body: string
}

/** Takes one answer apart. */
export function parseRawAnswer(text: string): RawAnswer {
  const end = text.indexOf('\r\n\r\n')
  const [statusLine = '', ...lines] = text.slice(0, end).split('\r\n')
  const [, status, reason = ''] = /^HTTP\/1\.1 (\d{3}) (.*)$/.exec(statusLine) ?? []
  const headers = lines.map((line): [string, string] => {
    const colon = line.indexOf(':')
    return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()]
  })
  return {
    status: Number(status),
    reason,
    headers: Object.fromEntries(headers),
    body: text.slice(end + 4),
  }
}
