import { createServer, type Socket } from 'node:net'

/** A request as it arrived, or as much of it as did before its connection ended. */
export type StrictRequest = {
  id: string
  method: string
  target: string
  body: string
  isWhole: boolean
}

export type StrictServer = {
  url: string
  requests: StrictRequest[]
  /** What was not RFC 9112 to the letter. */
  violations: string[]
  close: () => Promise<void>
}

type Head = { method: string; target: string; headers: Map<string, string>; length: number }

const REQUEST_LINE = /^([A-Z]+) (\/[\x21-\x7e]*) HTTP\/1\.1$/
const FIELD = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+): ?([\t\x20-\x7e\x80-\xff]*)$/

/** A model server that counts bytes and forgives nothing: it reads no request in more than one way. */
export async function startStrictServer(): Promise<StrictServer> {
  const requests: StrictRequest[] = []
  const violations: string[] = []
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    let text = ''
    socket.setEncoding('latin1')
    socket.on('error', () => undefined)
    socket.on('data', (chunk) => {
      text += String(chunk)
      try {
        for (let next = takeRequest(text); next !== undefined; next = takeRequest(text)) {
          text = text.slice(next.length)
          requests.push(next.request)
          socket.write('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}')
        }
      } catch (error) {
        violations.push(`${String(error)}: ${JSON.stringify(text.slice(0, 500))}`)
        socket.destroy()
      }
    })
    socket.on('close', () => {
      sockets.delete(socket)
      const head = text.includes('\r\n\r\n') ? headOf(text) : undefined
      if (head !== undefined) requests.push({ ...factsOf(head), body: '', isWhole: false })
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  return {
    url: `http://127.0.0.1:${address.port}`,
    requests,
    violations,
    close() {
      for (const socket of sockets) socket.destroy()
      return new Promise((resolve) => server.close(() => resolve()))
    },
  }
}

/** The first request, with how long it is; undefined while it is not all there. */
function takeRequest(text: string): { request: StrictRequest; length: number } | undefined {
  if (!text.includes('\r\n\r\n')) return undefined
  const head = headOf(text)
  const rest = text.slice(head.length)
  const body = head.headers.has('transfer-encoding') ? takeChunks(rest) : takeBytes(rest, head)
  if (body === undefined) return undefined
  const request = { ...factsOf(head), body: body.content, isWhole: true }
  return { request, length: head.length + body.length }
}

function headOf(text: string): Head {
  const end = text.indexOf('\r\n\r\n')
  const [line = '', ...fields] = text.slice(0, end).split('\r\n')
  const [, method, target] = REQUEST_LINE.exec(line) ?? []
  if (method === undefined || target === undefined) throw new Error('request line')
  const headers = new Map<string, string>()
  for (const field of fields) {
    const [, rawName, value] = FIELD.exec(field) ?? []
    if (rawName === undefined || value === undefined) throw new Error('field')
    const name = rawName.toLowerCase()
    const isFraming = name === 'content-length' || name === 'transfer-encoding' || name === 'host'
    if (isFraming && headers.has(name)) throw new Error(`two of ${name}`)
    headers.set(name, value)
  }
  if (!headers.has('host')) throw new Error('no host')
  const [length, coding] = [headers.get('content-length'), headers.get('transfer-encoding')]
  if (length !== undefined && coding !== undefined) throw new Error('two framings')
  if (length !== undefined && !/^\d+$/.test(length)) throw new Error('content-length')
  if (coding !== undefined && coding !== 'chunked') throw new Error('transfer-encoding')
  return { method, target, headers, length: end + 4 }
}

const factsOf = ({ method, target, headers }: Head) => ({
  id: headers.get('x-request-id') ?? '',
  method,
  target,
})

function takeBytes(rest: string, { headers }: Head) {
  const length = Number(headers.get('content-length') ?? '0')
  return rest.length < length ? undefined : { content: rest.slice(0, length), length }
}

/** Without extensions: nobody here sends them. */
function takeChunks(rest: string): { content: string; length: number } | undefined {
  let content = ''
  let at = 0
  for (;;) {
    const end = rest.indexOf('\r\n', at)
    if (end === -1) return undefined
    const size = rest.slice(at, end)
    if (!/^[0-9a-f]+$/i.test(size)) throw new Error('chunk size')
    const bytes = Number.parseInt(size, 16)
    if (bytes === 0) {
      const length = takeTrailers(rest, end + 2)
      return length === undefined ? undefined : { content, length }
    }
    const next = end + 2 + bytes + 2
    if (rest.length < next) return undefined
    if (rest.slice(next - 2, next) !== '\r\n') throw new Error('end of a chunk')
    content += rest.slice(end + 2, next - 2)
    at = next
  }
}

/** Gives where they end; those that would frame, route or authenticate a message are none (RFC 9110 §6.5.1). */
function takeTrailers(rest: string, from: number): number | undefined {
  let at = from
  for (;;) {
    const end = rest.indexOf('\r\n', at)
    if (end === -1) return undefined
    if (end === at) return end + 2
    const [, name] = FIELD.exec(rest.slice(at, end)) ?? []
    if (name === undefined || /^(?:content-|transfer-|host$|auth|x-gatehouse)/i.test(name)) {
      throw new Error('trailer')
    }
    at = end + 2
  }
}
