import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { Pool } from 'undici'

/**
 * What Node can do at best: undici in front of the backend, small bodies in one write, and nothing else. No check, no
 * log, no metric, no time-out. Usage: `node bare-undici-proxy.ts <port> <backend URL> [connections]`
 */
const [port, backendUrl = '', connections = '64'] = process.argv.slice(2)
const COLLECT_UP_TO_BYTES = 65_536
const NOT_FORWARDED = new Set(['host', 'connection', 'keep-alive', 'transfer-encoding'])
const pool = new Pool(backendUrl, { connections: Number(connections), pipelining: 1 })

createServer((req, res) => {
  const length = Number(req.headers['content-length'] ?? 0)
  if (length > COLLECT_UP_TO_BYTES) {
    forward(req, res, req)
    return
  }
  const chunks: Buffer[] = []
  req.on('data', (chunk: Buffer) => chunks.push(chunk))
  req.on('end', () => forward(req, res, chunks.length === 0 ? null : Buffer.concat(chunks)))
}).listen(Number(port), '127.0.0.1')

function forward(req: IncomingMessage, res: ServerResponse, body: Buffer | IncomingMessage | null) {
  pool.dispatch(
    {
      method: req.method ?? '',
      path: req.url ?? '',
      headers: forwardable(req.rawHeaders),
      body,
    },
    {
      onRequestStart(controller) {
        res.once('close', () => controller.abort(new Error('the client has gone')))
      },
      onResponseStart(_controller, status, headers) {
        delete headers.connection
        delete headers['keep-alive']
        delete headers['transfer-encoding']
        res.writeHead(status, headers)
      },
      onResponseData(controller, chunk) {
        if (res.write(chunk)) return
        controller.pause()
        res.once('drain', () => controller.resume())
      },
      onResponseEnd() {
        res.end()
      },
      onResponseError() {
        res.destroy()
      },
    },
  )
}

function forwardable(rawHeaders: readonly string[]): string[] {
  const kept: string[] = []
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] ?? ''
    if (!NOT_FORWARDED.has(name.toLowerCase())) kept.push(name, rawHeaders[i + 1] ?? '')
  }
  return kept
}
