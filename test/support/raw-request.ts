import { Agent, request } from 'node:http'

export type RawRequest = {
  method?: string
  /** As it is to stand in the request line. */
  path: string
  /** A list is sent as so many headers of that name. */
  headers?: Readonly<Record<string, string | string[]>>
  body?: Buffer | string
}
export type RawAnswer = {
  status: number
  headers: Readonly<Record<string, string | string[] | undefined>>
  text: string
}

/** Requests to one origin, over connections that stay open, with whatever bytes and headers the test wants. */
export function createRawClient(origin: string, sockets: number) {
  const agent = new Agent({ keepAlive: true, maxSockets: sockets })
  const { hostname, port } = new URL(origin)

  const send = ({ method = 'POST', path, headers = {}, body = '' }: RawRequest) =>
    new Promise<RawAnswer>((resolve, reject) => {
      const sent = request({ agent, host: hostname, port, method, path }, (res) => {
        const chunks: Buffer[] = []
        res.on('data', (chunk: Buffer) => chunks.push(chunk))
        res.on('error', reject)
        res.on('end', () => {
          const text = Buffer.concat(chunks).toString()
          resolve({ status: res.statusCode ?? 0, headers: res.headers, text })
        })
      })
      for (const [name, value] of Object.entries(headers)) sent.setHeader(name, value)
      sent.on('error', reject)
      sent.end(body)
    })
  return { send, close: () => agent.destroy() }
}
export type RawClient = ReturnType<typeof createRawClient>
