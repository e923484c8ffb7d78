import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Clock } from '../kernel/clock.ts'
import type { Engine } from './engine.ts'

/** One request on its way through this server. */
export type Call = {
  req: IncomingMessage
  res: ServerResponse
  requestId: string
  /** Aborted when the client goes away before its answer is complete. */
  signal: AbortSignal
}

/** What the routes work with. */
export type Tools = {
  engine: Engine
  clock: Clock
  maxBodyBytes: number
  /** How far the engine is with the page of that request, 0 to 1. */
  onReading: (fraction: number, requestId: string) => void
}

export function sendJson({ res, requestId }: Call, body: object, status = 200): void {
  sendText({ res, requestId }, { type: 'application/json', text: JSON.stringify(body), status })
}

export function sendText(
  { res, requestId }: Pick<Call, 'res' | 'requestId'>,
  content: { type: string; text: string; status?: number; headers?: Record<string, string> },
): void {
  res.writeHead(content.status ?? 200, {
    'content-type': content.type,
    'content-length': Buffer.byteLength(content.text),
    'cache-control': 'no-store',
    'x-request-id': requestId,
    ...content.headers,
  })
  res.end(content.text)
}
