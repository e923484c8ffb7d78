import type { RequestListener, ServerResponse } from 'node:http'
import type { Registry } from 'prom-client'
import { AppError } from './errors.ts'
import { startHttpServer, type HttpServer } from './http-server.ts'
import type { ListenAddress } from './listen-address.ts'
import type { Log } from './log.ts'
import { sendProblem } from './problem.ts'
import { requestIdOf } from './request-id.ts'

export type CheckResult = { status: 'ok' | 'unavailable'; detail?: string }
export type ReadinessChecks = Readonly<Record<string, () => CheckResult>>

export type OpsServerOptions = {
  name: string
  listen: ListenAddress
  registry: Pick<Registry, 'metrics' | 'contentType'>
  readiness: ReadinessChecks
  log: Log
}

/**
 * The operator's listener of one role: `/livez` (the process answers), `/readyz` (every check is ok, else 503) and
 * `/metrics` in Prometheus' text format. It holds no secret and needs no token.
 */
export function startOpsServer(options: OpsServerOptions): Promise<HttpServer> {
  const { name, listen, log } = options
  return startHttpServer({ name, listen, log, handle: opsHandler(options) })
}

function opsHandler({ registry, readiness, log }: OpsServerOptions): RequestListener {
  return (req, res) => {
    const requestId = requestIdOf(req)
    res.setHeader('x-request-id', requestId)
    const path = req.url?.split('?', 1)[0]
    if (req.method !== 'GET' && req.method !== 'HEAD') {
      const refusal = new AppError('method_not_allowed', 'Only GET.', {
        headers: { allow: 'GET, HEAD' },
      })
      return sendProblem(res, refusal, requestId)
    }
    switch (path) {
      case '/livez':
        return sendHealth(res, {})
      case '/readyz':
        return sendHealth(res, runChecks(readiness))
      case '/metrics':
        return void registry.metrics().then(
          (text) => res.writeHead(200, { 'content-type': registry.contentType }).end(text),
          (error: unknown) => {
            log.error({ request_id: requestId, err: error }, 'metrics failed')
            sendProblem(res, new AppError('internal_error', 'Metrics failed.'), requestId)
          },
        )
      default:
        return sendProblem(res, new AppError('not_found', 'Nothing here.'), requestId)
    }
  }
}

export function runChecks(checks: ReadinessChecks): Record<string, CheckResult> {
  return Object.fromEntries(Object.entries(checks).map(([name, check]) => [name, runCheck(check)]))
}

function runCheck(check: () => CheckResult): CheckResult {
  try {
    return check()
  } catch {
    return { status: 'unavailable', detail: 'the check itself failed' }
  }
}

function sendHealth(res: ServerResponse, checks: Record<string, CheckResult>): void {
  const isReady = Object.values(checks).every((check) => check.status === 'ok')
  const body = JSON.stringify({ status: isReady ? 'ok' : 'unavailable', checks })
  res.writeHead(isReady ? 200 : 503, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(body),
    'cache-control': 'no-store',
  })
  res.end(body)
}
