import type { IncomingMessage, ServerResponse } from 'node:http'
import { epochSeconds, systemClock, type Clock } from '../kernel/clock.ts'
import { AppError, toAppError } from '../kernel/errors.ts'
import { startHttpServer } from '../kernel/http-server.ts'
import type { ListenAddress } from '../kernel/listen-address.ts'
import type { Log } from '../kernel/log.ts'
import { sendProblem } from '../kernel/problem.ts'
import { requestIdOf } from '../kernel/request-id.ts'
import { API_DESCRIPTION } from './api-description.ts'
import { sendJson, sendText, type Call, type Tools } from './call.ts'
import { completeChat } from './chat-completions.ts'
import { DOCS_CONTENT_SECURITY_POLICY, DOCS_PAGE } from './docs-page.ts'
import { findEnginePackages } from './engine-packages.ts'
import { startEngine } from './engine.ts'
import { describeHealth, describeModels } from './identity.ts'
import { inferPage } from './ocr-infer.ts'
import { refuseOversized } from './request-body.ts'

/** How far the engine is, 0 to 1; a page that is being read is named by its request. */
export type OcrProgress =
  | { stage: 'loading'; fraction: number }
  | { stage: 'reading'; fraction: number; requestId: string }

export type BundledOcrOptions = {
  listen: ListenAddress
  log: Log
  clock?: Clock
  onProgress?: (progress: OcrProgress) => void
  maxBodyBytes?: number
}

export type BundledOcr = {
  address: ListenAddress
  /** Settled when the engine has loaded; rejected when it could not be. Requests wait for it by themselves. */
  ready: Promise<void>
  close: (drainSeconds: number) => Promise<void>
}

const MAX_BODY_BYTES = 33_554_432
/** What is logged for a client that left before its answer was complete. */
const CLIENT_LEFT_STATUS = 499

type Route = { method: 'GET' | 'POST'; answer: (call: Call, tools: Tools) => void | Promise<void> }

const ROUTES: ReadonlyMap<string, Route> = new Map<string, Route>([
  ['/health', { method: 'GET', answer: answerHealth }],
  ['/docs', { method: 'GET', answer: answerDocs }],
  ['/openapi.json', { method: 'GET', answer: (call) => sendJson(call, API_DESCRIPTION) }],
  ['/v1/models', { method: 'GET', answer: answerModels }],
  ['/v1/chat/completions', { method: 'POST', answer: completeChat }],
  ['/ocr/infer', { method: 'POST', answer: inferPage }],
])

/**
 * Listens at once and loads the engine in the background. ConfigError when the engine's optional packages are missing
 * or the address cannot be had.
 */
export async function startBundledOcr(options: BundledOcrOptions): Promise<BundledOcr> {
  const { listen, log, clock = systemClock, onProgress = () => {} } = options
  const engine = startEngine({
    languages: findEnginePackages(),
    log,
    onLoading: (fraction) => onProgress({ stage: 'loading', fraction }),
  })
  const tools: Tools = {
    engine,
    clock,
    maxBodyBytes: options.maxBodyBytes ?? MAX_BODY_BYTES,
    onReading: (fraction, requestId) => onProgress({ stage: 'reading', fraction, requestId }),
  }
  try {
    const server = await startHttpServer({
      name: '--listen',
      listen,
      log,
      sendsContinue: 'handler',
      handle: (req, res) => void handle({ req, res }, tools, log),
    })
    return {
      address: server.address,
      ready: engine.loaded,
      close: async (drainSeconds) => {
        await server.drain(drainSeconds)
        await engine.close()
      },
    }
  } catch (error) {
    await engine.close()
    throw error
  }
}

/** One request, top to bottom. Whatever is thrown on the way becomes an answer: this promise never rejects. */
async function handle(
  { req, res }: { req: IncomingMessage; res: ServerResponse },
  tools: Tools,
  log: Log,
): Promise<void> {
  const call = openCall(req, res)
  const path = (req.url ?? '').split('?', 1).join('')
  const route = ROUTES.get(path)
  logWhenDone(call, { route: route ? path : 'none', startedAt: tools.clock() }, tools.clock, log)
  try {
    await requireRoute(route, req).answer(call, tools)
  } catch (error) {
    refuse(call, error, log)
  }
}

function openCall(req: IncomingMessage, res: ServerResponse): Call {
  const departure = new AbortController()
  res.once('close', () => {
    if (!res.writableFinished) departure.abort()
  })
  // A connection that breaks is noticed by `close`; without a listener its error would end the process.
  req.on('error', () => {})
  res.on('error', () => {})
  return { req, res, requestId: requestIdOf(req), signal: departure.signal }
}

function requireRoute(route: Route | undefined, req: IncomingMessage): Route {
  if (!route) throw new AppError('not_found', 'There is no such path here. See /docs.')
  const allowed = route.method === 'GET' ? ['GET', 'HEAD'] : [route.method]
  if (allowed.includes(req.method ?? '')) return route
  throw new AppError('method_not_allowed', `Use ${allowed.join(' or ')}.`, {
    headers: { allow: allowed.join(', ') },
  })
}

function refuse({ req, res, requestId, signal }: Call, thrown: unknown, log: Log): void {
  if (signal.aborted) return
  const error = toAppError(thrown)
  if (error.code === 'internal_error') {
    log.error({ event: 'bundled_ocr.bug', request_id: requestId, err: thrown }, 'a request failed')
  }
  if (error.code === 'content_too_large') return refuseOversized({ req, res }, error, requestId)
  sendProblem(res, error, requestId)
}

function logWhenDone(
  { req, res, requestId }: Call,
  { route, startedAt }: { route: string; startedAt: number },
  clock: Clock,
  log: Log,
): void {
  res.once('close', () =>
    log.info(
      {
        event: 'bundled_ocr.call',
        request_id: requestId,
        method: req.method,
        route,
        status: res.writableFinished ? res.statusCode : CLIENT_LEFT_STATUS,
        duration_ms: clock() - startedAt,
      },
      'bundled OCR call',
    ),
  )
}

function answerHealth(call: Call, { engine }: Tools): void {
  const state = engine.state()
  sendJson(call, describeHealth(state), state === 'ok' ? 200 : 503)
}

function answerModels(call: Call, { clock }: Tools): void {
  sendJson(call, describeModels(epochSeconds(clock)))
}

function answerDocs(call: Call): void {
  sendText(call, {
    type: 'text/html; charset=utf-8',
    text: DOCS_PAGE,
    headers: { 'content-security-policy': DOCS_CONTENT_SECURITY_POLICY },
  })
}
