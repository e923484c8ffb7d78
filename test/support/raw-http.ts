import { connect } from 'node:net'

/** Sends bytes as they are and gives back all that comes until the server closes or a whole answer has arrived. */
export function exchangeRaw(port: number, bytes: string | Buffer): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1')
    let text = ''
    socket.setTimeout(20_000, () => reject(new Error(`no end of the answer: ${text}`)))
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1')
      if (isComplete(text)) socket.destroy()
    })
    socket.on('error', (error) => (text === '' ? reject(error) : resolve(text)))
    socket.on('close', () => resolve(text))
    socket.write(bytes)
  })
}

function isComplete(text: string): boolean {
  const end = text.indexOf('\r\n\r\n')
  if (end === -1 || text.startsWith('HTTP/1.1 100')) return false
  const length = /^content-length: (\d+)/im.exec(text.slice(0, end))?.[1]
  return length !== undefined && Buffer.byteLength(text.slice(end + 4), 'latin1') >= Number(length)
}

export const statusOf = (answer: string): number => Number(/^HTTP\/1\.1 (\d{3})/.exec(answer)?.[1])
