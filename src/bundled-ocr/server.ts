import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http'
import type { Clock } from '../kernel/clock.ts'
import { AppError, toAppError } from '../kernel/errors.ts'
import { startHttpServer } from '../kernel/http-server.ts'
import type { ListenAddress } from '../kernel/listen-address.ts'
import type { Log } from '../kernel/log.ts'
import { sendProblem } from '../kernel/problem.ts'
import { requestIdOf } from '../kernel/request-id.ts'
import { DOCS_PAGE, OPENAPI } from './api-description.ts'
import { completeChat } from './chat-completions.ts'
import { requireInstalled, startOcrEngine, type OcrEngine, type OcrProgress } from './engine.ts'
import type { ImageInput } from './image-input.ts'
import { ENGINE, MODEL } from './model.ts'
import { inferOcr } from './ocr-infer.ts'
import { createPageQueue, type PageQueue } from './page-queue.ts'
import { isSpottingPrompt, toTextLines, withCoordinates, type TextLine } from './recognised-text.ts'
import { parseJson, readBody } from './request-body.ts'

export type BundledOcrOptions = {
  listen: ListenAddress
  log: Log
  clock: Clock
  onProgress?: (progress: OcrProgress) => void
  maxBodyBytes?: number
}

export type BundledOcr = {
  address: ListenAddress
  /** Settles when the engine has loaded; it fails with what kept it from loading. */
  ready: Promise<void>
  close: (drainSeconds: number) => Promise<void>
}

/** Gives the text of an image, a string for each line, in the form that the prompt asks for. */
export type ReadPage = (image: ImageInput, prompt: string) => Promise<string[]>

type Service = {
  engine: OcrEngine
  isLoaded: () => boolean
  queue: PageQueue
  maxBodyBytes: number
  createdAtSeconds: number
}

const DEFAULT_MAX_BODY_BYTES = 33_554_432
const MAX_WAITING = 16

/**
 * Serves HunyuanOCR's API on a CPU engine. Listens at once and loads the engine behind; requests wait for it. Throws a
 * ConfigError when the engine's packages are not installed or the address cannot be had.
 */
export async function startBundledOcr(options: BundledOcrOptions): Promise<BundledOcr> {
  const { listen, log, clock, onProgress, maxBodyBytes = DEFAULT_MAX_BODY_BYTES } = options
  requireInstalled()
  let isLoaded = false
  const engine = startOcrEngine((progress) => onProgress?.(progress))
  const ready = engine.loaded.then(() => {
    isLoaded = true
  })
  const service: Service = {
    engine,
    isLoaded: () => isLoaded,
    queue: createPageQueue(MAX_WAITING),
    maxBodyBytes,
    createdAtSeconds: Math.floor(clock() / 1000),
  }
  // A request that comes meanwhile sees the failure as its own; nobody needs to hear of it twice.
  ready.catch(() => undefined)
  const server = await startHttpServer({
    name: 'bundled-ocr',
    listen,
    log,
    handle: answerWith(service, log),
  })
  return {
    address: server.address,
    ready,
    async close(drainSeconds) {
      await server.drain(drainSeconds)
      await engine.close()
    },
  }
}

function answerWith(service: Service, log: Log): RequestListener {
  return (req, res) => {
    const requestId = requestIdOf(req)
    const startedAtMs = performance.now()
    let reason: string | undefined
    res.setHeader('x-request-id', requestId)
    res.once('close', () => {
      log.info(
        {
          event: 'bundled_ocr.call',
          request_id: requestId,
          method: req.method,
          route: req.url !== undefined && PATHS.has(req.url) ? req.url : 'none',
          status: res.headersSent ? res.statusCode : undefined,
          reason: reason ?? (res.writableFinished ? undefined : 'client_gone'),
          duration_ms: Math.round(performance.now() - startedAtMs),
        },
        'bundled OCR call',
      )
    })
    answer(service, req, res).catch((error: unknown) => {
      if (res.closed) return
      const refusal = toAppError(error)
      reason = refusal.reason
      if (refusal.status >= 500)
        log.error({ request_id: requestId, err: refusal }, 'bundled OCR failed')
      sendProblem(res, refusal, requestId)
    })
  }
}

const PATHS = new Set([
  '/health',
  '/docs',
  '/openapi.json',
  '/v1/models',
  '/v1/chat/completions',
  '/ocr/infer',
])

async function answer(service: Service, req: IncomingMessage, res: ServerResponse): Promise<void> {
  const method = req.method === 'HEAD' ? 'GET' : req.method
  switch (`${method} ${req.url?.split('?', 1)[0]}`) {
    case 'GET /health':
      return sendJson(res, service.isLoaded() ? 200 : 503, {
        status: service.isLoaded() ? 'ok' : 'loading',
        engine: ENGINE,
        stands_in_for: MODEL,
      })
    case 'GET /v1/models':
      return sendJson(res, 200, {
        object: 'list',
        data: [{ id: MODEL, object: 'model', created: service.createdAtSeconds, owned_by: ENGINE }],
      })
    case 'GET /openapi.json':
      return void res.setHeader('content-type', 'application/json').end(OPENAPI)
    case 'GET /docs':
      return void res.setHeader('content-type', 'text/html; charset=utf-8').end(DOCS_PAGE)
    case 'POST /v1/chat/completions': {
      const body = parseJson(await readBody(req, service.maxBodyBytes))
      return completeChat(body, createPageReader(service, res), res)
    }
    case 'POST /ocr/infer': {
      const body = await readBody(req, service.maxBodyBytes)
      return inferOcr(req, body, createLineReader(service, res), res)
    }
    default:
      throw new AppError('not_found', 'There is no such route.')
  }
}

function createPageReader(service: Service, res: ServerResponse): ReadPage {
  const readLines = createLineReader(service, res)
  return async (image, prompt) => {
    const lines = await readLines(image)
    return lines.map((line) =>
      isSpottingPrompt(prompt) ? withCoordinates(line, image) : line.text,
    )
  }
}

/** Reads when its turn comes; a caller that leaves before then leaves the queue. */
function createLineReader({ engine, queue }: Service, res: ServerResponse) {
  const gone = new AbortController()
  res.once('close', () => gone.abort())
  return (image: ImageInput): Promise<TextLine[]> =>
    queue.run(async () => toTextLines(await engine.recognize(image.bytes)), gone.signal)
}

function sendJson(res: ServerResponse, status: number, body: object): void {
  res.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
}
