import {
  createServer,
  type IncomingMessage,
  type RequestListener,
  type Server,
  type ServerResponse,
} from 'node:http'
import { createServer as createTlsServer, Server as TlsServer } from 'node:https'
import type { AddressInfo, BlockList, Socket } from 'node:net'
import { createConnectionGuard, STRICT_TRANSPORT } from './connection-guard.ts'
import { AppError, ConfigError } from './errors.ts'
import { formatListenAddress, type ListenAddress } from './listen-address.ts'
import type { Log } from './log.ts'
import { secureContextOf, type TlsMaterial } from './tls-policy.ts'

export type HttpServerOptions = {
  /** The setting that says where it listens, such as `proxy.listen`: its name in the log and in start errors. */
  name: string
  listen: ListenAddress
  handle: RequestListener
  log: Log
  /**
   * Without it the listener speaks plain HTTP. With `clientCa` callers are asked for a certificate, and need not have
   * one: what it is worth is for the handler to find out.
   */
  tls?: TlsMaterial | undefined
  /** Addresses of TLS terminators, who say with `X-Forwarded-Proto: https` that a request came to them over TLS. */
  terminators?: BlockList | undefined
  /** Whether what did not come over TLS is served, too: for loopback. Without terminators it is in any case. */
  servesPlain?: boolean
  /** By whom `100 Continue` is sent: at once, or by the handler when it wants the body. */
  sendsContinue?: 'server' | 'handler'
  /** How long the headers, and then the whole request, may take to arrive. */
  headersTimeoutSeconds?: number
  requestTimeoutSeconds?: number
  /** How long a client may leave a whole answer where it is. */
  idleTimeoutSeconds?: number
}

export type HttpServer = {
  name: string
  /** Where it listens in truth, also when port 0 was asked for. */
  address: ListenAddress
  /**
   * What TLS is spoken with to whoever connects from now on; sessions from before are not resumed. A listener without TLS
   * has no use for it, one that asked nobody for a certificate does not begin to, and one that did does not end.
   */
  renewTls: (material: TlsMaterial) => void
  /** Takes no new connection, lets running requests finish for that long, then cuts them. */
  drain: (seconds: number) => Promise<void>
}

const HEADERS_TIMEOUT_SECONDS = 10
const REQUEST_TIMEOUT_SECONDS = 300
const IDLE_TIMEOUT_SECONDS = 120
/** Longer than the idle time-outs of the usual load balancers (60 s), so that they close first. */
const KEEP_ALIVE_TIMEOUT_SECONDS = 75
const MAX_HEADER_BYTES = 16_384

/**
 * Listens, with bounded times and sizes for whatever a peer does, and answers what is not HTTP with a problem.
 * Throws a ConfigError when the address cannot be had.
 */
export async function startHttpServer(options: HttpServerOptions): Promise<HttpServer> {
  const server = createListener(options)
  const { name, listen } = options
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => reject(listenError(options, error)))
    server.listen(listen.port, listen.host, resolve)
  })
  server.on('error', (error) =>
    options.log.error({ listener: name, err: error }, 'listener failed'),
  )
  return {
    name,
    address: { host: listen.host, port: portOf(server) },
    renewTls({ cert, key, clientCa }) {
      if (!(server instanceof TlsServer)) return
      const asked = options.tls?.clientCa
      const ca = asked === undefined ? undefined : (clientCa ?? asked)
      server.setSecureContext(secureContextOf({ cert, key, clientCa: ca }))
    },
    drain: (seconds) => drain(server, seconds),
  }
}

function createListener(options: HttpServerOptions): Server {
  const http = {
    maxHeaderSize: MAX_HEADER_BYTES,
    headersTimeout: (options.headersTimeoutSeconds ?? HEADERS_TIMEOUT_SECONDS) * 1000,
    requestTimeout: (options.requestTimeoutSeconds ?? REQUEST_TIMEOUT_SECONDS) * 1000,
    keepAliveTimeout: KEEP_ALIVE_TIMEOUT_SECONDS * 1000,
    connectionsCheckingInterval: 1000,
    // Node's own answer would be none of ours.
    requireHostHeader: false,
  }
  const isHttps = (req: IncomingMessage) =>
    options.tls !== undefined || isFromHttps(req, options.terminators)
  const guard = createConnectionGuard({
    ...options,
    maxHeaderBytes: MAX_HEADER_BYTES,
    hasTls: options.tls !== undefined,
  })
  const handle = guard.oneAtATime((req, res) => {
    const refusal = refusalOf(req, options)
    if (refusal === undefined) options.handle(req, res)
    else guard.refuseRequest(req, res, refusal)
  })
  const server = options.tls
    ? createTlsServer(
        {
          ...http,
          ...secureContextOf(options.tls),
          ALPNProtocols: ['http/1.1'],
          requestCert: options.tls.clientCa !== undefined,
          rejectUnauthorized: false,
          handshakeTimeout: http.headersTimeout,
        },
        handle,
      )
    : createServer(http, handle)
  hearOutTurn(server)
  server.setTimeout((options.idleTimeoutSeconds ?? IDLE_TIMEOUT_SECONDS) * 1000)
  if (options.sendsContinue === 'handler') {
    server.on('checkContinue', (req, res) => server.emit('request', req, res))
  }
  server.on('checkExpectation', (req: IncomingMessage, res: ServerResponse) =>
    guard.refuseRequest(
      req,
      res,
      new AppError('expectation_failed', 'Only 100-continue is known.'),
    ),
  )
  guard.watch(server)
  if (options.tls !== undefined || options.terminators !== undefined) {
    // Before anybody answers, and over plain http never (RFC 6797 §7.2).
    for (const event of ['request', 'checkExpectation']) {
      server.prependListener(event, (req: IncomingMessage, res: ServerResponse) => {
        if (isHttps(req)) res.setHeader('strict-transport-security', STRICT_TRANSPORT)
      })
    }
  }
  return server
}

/**
 * A client that has said that it sends nothing more is taken for gone, but not before the end of the turn: what is answered in it,
 * such as a refusal, still reaches a client that only closed its side.
 */
function hearOutTurn(server: Server): void {
  // Not in Node's documentation: without it, Node closes the connection before we can.
  Object.assign(server, { httpAllowHalfOpen: true })
  server.on(server instanceof TlsServer ? 'secureConnection' : 'connection', (socket: Socket) => {
    // Only from here on: before its handshake a connection that ends has nothing to be told.
    socket.allowHalfOpen = true
    socket.on('end', () => setImmediate(() => socket.end()))
  })
}

/** What no handler should see: HTTP/1.1 names its host (RFC 9112 §3.2), and a terminator says that it had TLS. */
function refusalOf(
  req: IncomingMessage,
  { terminators, servesPlain = terminators === undefined }: HttpServerOptions,
): AppError | undefined {
  const headers = { connection: 'close' }
  if (req.headers.host === undefined && req.httpVersion === '1.1') {
    return new AppError('malformed_request', 'The Host header is missing.', { headers })
  }
  if (servesPlain || isFromHttps(req, terminators)) return undefined
  return new AppError('https_required', 'Use https.', { headers })
}

function isFromHttps(req: IncomingMessage, terminators: BlockList | undefined): boolean {
  const { remoteAddress, remoteFamily } = req.socket
  if (terminators === undefined || remoteAddress === undefined) return false
  const family = remoteFamily === 'IPv6' ? 'ipv6' : 'ipv4'
  return req.headers['x-forwarded-proto'] === 'https' && terminators.check(remoteAddress, family)
}

async function drain(server: Server, seconds: number): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()))
  // A response that is finished from now on also ends its connection, so that no keep-alive client holds the door.
  server.prependListener('request', (_req, res: ServerResponse) =>
    res.setHeader('connection', 'close'),
  )
  const sweep = setInterval(() => server.closeIdleConnections(), 50)
  const deadline = setTimeout(() => server.closeAllConnections(), seconds * 1000)
  await closed
  clearInterval(sweep)
  clearTimeout(deadline)
}

function portOf(server: Server): number {
  const address: AddressInfo | string | null = server.address()
  if (address === null || typeof address === 'string') throw new Error('not listening on a port')
  return address.port
}

function listenError(
  { name, listen }: HttpServerOptions,
  error: NodeJS.ErrnoException,
): ConfigError {
  const at = formatListenAddress(listen)
  switch (error.code) {
    case 'EADDRINUSE':
      return new ConfigError(
        [`${name}: cannot use ${at}, something else listens there`],
        `stop the other program (is Gatehouse already running?) or choose another port for ${name} (and its url)`,
      )
    case 'EACCES':
      return new ConfigError([`${name}: may not use ${at}, permission denied`])
    default:
      return new ConfigError([`${name}: cannot use ${at}, ${error.code ?? 'unknown error'}`])
  }
}
