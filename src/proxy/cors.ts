import type { IncomingMessage, ServerResponse } from 'node:http'

/** What a script gets to see beside the answer itself. */
const EXPOSED_HEADERS = [
  'X-Request-Id',
  'Retry-After',
  'RateLimit',
  'RateLimit-Policy',
  'WWW-Authenticate',
  'DPoP-Nonce',
].join(', ')

const PREFLIGHT_TTL_SECONDS = 600

export type Cors = {
  /** Lets scripts of a named origin read the answer, refusals included. Gives whether it comes from one. */
  open: (req: IncomingMessage, res: ServerResponse) => boolean
}

/**
 * The CORS protocol (Fetch §3.2) for exactly these origins. Tokens come in a header that scripts set themselves, so cookies and
 * the like are never allowed. Nothing of it changes what a caller may do.
 */
export function createCors(origins: readonly string[]): Cors {
  const named = new Set(origins)
  return {
    open({ headers: { origin } }, res) {
      // A cache must not give one origin's answer to another.
      res.setHeader('vary', 'Origin')
      if (origin === undefined || !named.has(origin)) return false
      res.setHeader('access-control-allow-origin', origin)
      res.setHeader('access-control-expose-headers', EXPOSED_HEADERS)
      return true
    },
  }
}

/** Whether a browser asks before it sends what a script wants to send; such a question has no token. */
export const isPreflight = ({ method, headers }: IncomingMessage): boolean =>
  method === 'OPTIONS' && headers['access-control-request-method'] !== undefined

/** Agrees to whatever headers the script sets: they are looked at when they come. */
export function answerPreflight(
  { headers }: IncomingMessage,
  res: ServerResponse,
  { methods, requestId }: { methods: readonly string[]; requestId: string },
): void {
  const asked = headers['access-control-request-headers']
  res.writeHead(204, {
    vary: 'Origin, Access-Control-Request-Headers',
    'access-control-allow-methods': methods.join(', '),
    ...(asked !== undefined && { 'access-control-allow-headers': asked }),
    'access-control-max-age': String(PREFLIGHT_TTL_SECONDS),
    'x-request-id': requestId,
  })
  res.end()
}
