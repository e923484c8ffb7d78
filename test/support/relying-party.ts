import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { freePorts } from '../../src/cli/free-ports.ts'

export type RelyingParty = {
  /** On another origin than the issuer, as clients are. */
  callbackUrl: string
  postLogoutUrl: string
  /** Whatever came to either address, the latest last: the parameters of the address, or of the form. */
  received: URLSearchParams[]
  close: () => Promise<void>
}

/** The web server of a client: takes the response of an authorization and shows a page of its own. */
export async function startRelyingParty(): Promise<RelyingParty> {
  const [port = 0] = await freePorts(1)
  const received: URLSearchParams[] = []
  const server = createServer((req, res) => {
    const { pathname, searchParams } = new URL(req.url ?? '/', 'http://client')
    const chunks: Buffer[] = []
    req.on('data', (chunk: Buffer) => chunks.push(chunk))
    req.on('end', () => {
      const form = new URLSearchParams(Buffer.concat(chunks).toString())
      if (pathname !== '/favicon.ico') received.push(form.size > 0 ? form : searchParams)
      res.setHeader('content-type', 'text/html')
      res.end('<!doctype html><html lang="en"><title>Client</title><h1>Welcome back</h1></html>')
    })
  })
  server.listen(port, '127.0.0.1')
  await once(server, 'listening')
  const origin = `http://127.0.0.1:${port}`
  return {
    callbackUrl: `${origin}/callback`,
    postLogoutUrl: `${origin}/signed-out`,
    received,
    async close() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

/** A fresh PKCE pair (RFC 7636 §4). */
export function createPkce(): { verifier: string; challenge: string } {
  const verifier = randomBytes(32).toString('base64url')
  return { verifier, challenge: createHash('sha256').update(verifier).digest('base64url') }
}
