import { randomInt } from 'node:crypto'
import { Agent, request } from 'node:http'

/** How a request ended for its client: with an answer to its end, one that broke off, without any, or by leaving. */
export type Fate = { status: number | undefined; end: 'whole' | 'broken' | 'none' | 'left' }

export type UnrulyClientsOptions = {
  port: number
  /** `Bearer …` of callers who may. */
  tokens: readonly string[]
  requests: number
  concurrency: number
  /** Is told how many requests have ended. */
  onEnd?: (ended: number) => void
}

const CHAT = '/v1/chat/completions'
const BODY = JSON.stringify({
  messages: [
    {
      role: 'user',
      content: [{ type: 'image_url', image_url: { url: 'data:image/png;base64,AA==' } }],
    },
  ],
})
/** More than is collected: it is streamed through. */
const LARGE_BODY = JSON.stringify({ image: 'A'.repeat(200_000) })

/** Sends requests in every way that clients do, well or not, each with an id of its own. Gives how each ended. */
export async function runUnrulyClients(options: UnrulyClientsOptions): Promise<Map<string, Fate>> {
  const { port, tokens, requests, concurrency, onEnd } = options
  const agent = new Agent({ keepAlive: true, maxSockets: concurrency })
  const fates = new Map<string, Fate>()
  let sent = 0
  const client = async () => {
    while (sent < requests) {
      sent += 1
      const id = `request-${sent}`
      fates.set(id, await sendOne({ agent, port, id, token: tokens[sent % tokens.length] ?? '' }))
      onEnd?.(fates.size)
    }
  }
  await Promise.all(Array.from({ length: concurrency }, client))
  agent.destroy()
  return fates
}

type One = { agent: Agent; port: number; id: string; token: string }

function sendOne({ agent, port, id, token }: One): Promise<Fate> {
  const way = randomInt(100)
  const { method, path, authorization } = targetOf(way, token)
  const body = method === 'GET' ? '' : way >= 90 ? LARGE_BODY : BODY
  const leavesAfterMs = (way >= 20 && way < 35) || way >= 97 ? randomInt(25) : undefined
  return new Promise((resolve) => {
    let status: number | undefined
    let hasLeft = false
    const end = (how: Fate['end']) => resolve({ status, end: hasLeft ? 'left' : how })
    const req = request({
      agent,
      port,
      host: '127.0.0.1',
      method,
      path,
      headers: {
        'x-request-id': id,
        'content-type': 'application/json',
        'content-length': Buffer.byteLength(body),
        ...(authorization !== undefined && { authorization }),
      },
    })
    req.on('response', (res) => {
      status = res.statusCode
      res.on('error', () => undefined).on('close', () => end(res.complete ? 'whole' : 'broken'))
      res.resume()
    })
    req.on('error', () => end('none'))
    req.end(body)
    if (leavesAfterMs === undefined) return
    setTimeout(() => {
      if (req.closed) return
      hasLeft = true
      req.destroy()
    }, leavesAfterMs)
  })
}

function targetOf(way: number, token: string) {
  if (way < 4) return { method: 'POST', path: CHAT, authorization: undefined }
  if (way < 8) return { method: 'POST', path: CHAT, authorization: `${token}x` }
  if (way < 12) return { method: 'POST', path: '/v1/nothing', authorization: token }
  if (way < 16) return { method: 'DELETE', path: CHAT, authorization: token }
  if (way < 20) return { method: 'GET', path: '/v1/models', authorization: token }
  return { method: 'POST', path: CHAT, authorization: token }
}
