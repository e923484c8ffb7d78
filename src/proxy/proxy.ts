import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http'
import type { BlockList } from 'node:net'
import type { AuditTrail } from '../audit/trail.ts'
import { clientThumbprintOf } from '../kernel/client-certificate.ts'
import { onBroken } from '../kernel/connection-guard.ts'
import { inCohorts } from '../kernel/cohorts.ts'
import type { Log } from '../kernel/log.ts'
import type { Tracer } from '../kernel/tracing.ts'
import type { RevocationGuard } from '../revocations/revocation-guard.ts'
import type { Authenticator } from './authenticate.ts'
import { authorize } from '../tokens/authorize.ts'
import { askModel, type ModelAccess } from './ask-model.ts'
import { discardRest, openCall, recordCall, settleCall, type Call } from './call.ts'
import { ClientGone } from './client-gone.ts'
import { answerPreflight, isPreflight, type Cors } from './cors.ts'
import { askedRequest, FORWARD_AUTH_PATH, isForwardAuth, toVerdict } from './forward-auth.ts'
import type { Limits } from './limits.ts'
import type { ProxyMetrics } from './metrics.ts'
import { sendMetadata, sendRefusal, sendUsage, sendVerdict } from './own-answers.ts'
import { createReadAhead } from './read-ahead.ts'
import { requireAcceptableLength } from './request-body.ts'
import { readRequestHeaders, type RequestHeaders } from './request-headers.ts'
import { RESOURCE_METADATA_PATH, resourceMetadata } from './resource-metadata.ts'
import { createRunningCalls, type RunningCalls } from './running-calls.ts'
import { createRouteTable, pathOf, type Route, type RouteTable } from './routes.ts'
import { createSpentChunks } from './spent-chunks.ts'
import { USAGE_ROUTE } from './usage-document.ts'

/** What may be changed while requests are answered: those that have begun go on as they were. */
export type Routing = { routes: readonly Route[] }

export type ProxyOptions = Routing &
  Pick<ModelAccess, 'upstreams' | 'admission'> & {
    /** Our resource identifier, the `aud` of the tokens. */
    url: string
    issuer: string
    authenticate: Authenticator
    /** The TLS terminators, which say in `Client-Cert` whose certificate they have seen. */
    trustedProxies: BlockList
    /** Whether a client certificate can reach us. */
    seesCertificates: boolean
    revocations: RevocationGuard
    limits: Limits
    /** Whether other proxies may ask about requests that they pass on themselves. */
    forwardAuth: boolean
    /** Undefined where no browser app may read answers. */
    cors: Cors | undefined
    /** Frees the memory of what has just been passed on. */
    collectYoungGarbage: () => void
    metrics: ProxyMetrics
    audit: Pick<AuditTrail, 'record' | 'requireRecordable'>
    /** Undefined where calls are not traced. */
    tracer: Tracer | undefined
    log: Log
  }

type ProxyContext = ProxyOptions &
  ModelAccess & {
    table: RouteTable
    ownDocument: string
    running: RunningCalls
  }

export type Proxy = {
  handle: RequestListener
  setRouting: (routing: Routing) => void
  /** Resolves when no call is running: also none of those whose connection has been cut. */
  settled: () => Promise<void>
}

/** Verifies, then forwards: every request is answered, logged and counted exactly once, whatever happens to it. */
export function createProxy(options: ProxyOptions): Proxy {
  const kept = {
    running: createRunningCalls(options.revocations),
    readAhead: createReadAhead(),
    onSpent: createSpentChunks(options.collectYoungGarbage),
  }
  let proxy: ProxyContext = { ...options, ...tablesOf(options), ...kept }
  const answerInTurn = inCohorts((opened: Opened) => void answer(proxy, opened))
  return {
    handle: (req, res) => answerInTurn(open(proxy, req, res)),
    setRouting(routing) {
      const changed = { ...options, ...routing }
      proxy = { ...changed, ...tablesOf(changed), ...kept }
    },
    settled: kept.running.over,
  }
}

const OWN_DOCUMENT: Route = {
  method: 'GET',
  path: RESOURCE_METADATA_PATH,
  scopes: undefined,
  maxBodyBytes: 0,
  firstByteMs: 0,
  idleMs: 0,
}

/** What the proxy answers itself, beside questions of ForwardAuth. */
export const OWN_ROUTES = [OWN_DOCUMENT, USAGE_ROUTE]

/** The routes with our own, and the document that says which scopes they need. */
function tablesOf(options: ProxyOptions) {
  const { routes } = options
  const scopes = new Set(routes.flatMap((route) => route.scopes ?? []))
  return {
    table: createRouteTable([...routes, ...OWN_ROUTES]),
    ownDocument: resourceMetadata({ ...options, scopes: [...scopes] }),
  }
}

type Opened = { call: Call; leave: () => void }

/** From here on it leaves a record, whatever becomes of it. */
function open(proxy: ProxyContext, req: IncomingMessage, res: ServerResponse): Opened {
  const call = openCall(req, res, proxy.tracer)
  res.once('close', () => {
    call.endedAtMs = performance.now()
    if (!res.writableFinished) call.ending.end(new ClientGone())
    recordCall(call, proxy)
  })
  onBroken(req, (error) => call.ending.end(error))
  return { call, leave: proxy.running.add(call) }
}

async function answer(proxy: ProxyContext, { call, leave }: Opened): Promise<void> {
  try {
    await answerCall(proxy, call)
  } catch (error) {
    sendRefusal(call, error, `${proxy.url}${RESOURCE_METADATA_PATH}`)
  } finally {
    settleCall(call)
    discardRest(call)
    leave()
  }
}

async function answerCall(proxy: ProxyContext, call: Call): Promise<void> {
  const { req, res } = call
  const { method = '', url: target = '' } = req
  const isOpen = proxy.cors?.open(req, res) ?? false
  const isOpenPreflight = isOpen && isPreflight(req)
  if (proxy.forwardAuth && isForwardAuth(target) && !isOpenPreflight) {
    return answerQuestion(proxy, call)
  }
  const headers = readRequestHeaders(req.rawHeaders)
  if (isOpenPreflight) return sendPreflight(proxy, call)
  const route = proxy.table.match(method, target)
  call.route = route.path
  await requireCaller(proxy, call, { headers, route, method, target })
  if (route === OWN_DOCUMENT) return sendMetadata(call, proxy.ownDocument)
  if (route === USAGE_ROUTE) return sendUsage(call, proxy.limits)
  proxy.audit.requireRecordable()
  // Whatever is answered from here on will tell the caller's limits.
  const counted = call.caller && proxy.limits.enter(call.caller.token, call.proof)
  call.counted = counted instanceof Promise ? await counted : counted

  requireAcceptableLength(headers, route.maxBodyBytes)
  await askModel(proxy, call, { headers, route })
}

type Asked = { headers: RequestHeaders; route: Route; method: string; target: string }

/** Who calls is known from here on, and may use the route; a proof remains to be used up. */
async function requireCaller(proxy: ProxyContext, call: Call, asked: Asked): Promise<void> {
  const { scopes } = asked.route
  if (scopes === undefined) return
  const startedAtMs = performance.now()
  try {
    const found = authenticate(proxy, call, asked)
    const { caller, proof } = found instanceof Promise ? await found : found
    if (proof?.nextNonce !== undefined) call.res.setHeader('dpop-nonce', proof.nextNonce)
    call.caller = caller
    call.proof = proof
  } finally {
    proxy.metrics.observeVerification((performance.now() - startedAtMs) / 1000)
  }
  call.ending.throwIfEnded()
  proxy.revocations.requireNotRevoked(call.caller.token)
  authorize(call.caller.token, scopes)
}

function authenticate(
  proxy: ProxyContext,
  { req }: Call,
  { headers, method, target }: Asked,
): ReturnType<Authenticator> {
  return proxy.authenticate({
    authorization: headers.authorization,
    proof: headers.dpop,
    method,
    uri: `${proxy.url}${pathOf(target)}`,
    certificateThumbprint: () => clientThumbprintOf(req, proxy.trustedProxies),
  })
}

/** ForwardAuth: the same verdict for a request that somebody else is going to pass on, with who calls in its headers. */
async function answerQuestion(proxy: ProxyContext, call: Call): Promise<void> {
  call.route = FORWARD_AUTH_PATH
  try {
    const headers = readRequestHeaders(call.req.rawHeaders)
    const { method, target } = askedRequest(call.req)
    const route = proxy.table.match(method, target)
    call.asked = `${method} ${route.path}`
    await requireCaller(proxy, call, { headers, route, method, target })
    proxy.audit.requireRecordable()
    if (call.caller !== undefined) await proxy.limits.useUp(call.caller.token, call.proof)
    call.ending.throwIfEnded()
  } catch (error) {
    throw toVerdict(error)
  }
  sendVerdict(call)
}

function sendPreflight({ table }: ProxyContext, call: Call): void {
  const { req, res, requestId } = call
  const { path, methods } = table.at(req.url ?? '')
  call.route = path
  answerPreflight(req, res, { methods, requestId })
}
