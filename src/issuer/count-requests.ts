import type { ServerResponse } from 'node:http'
import type { Context, Middleware, Next } from 'koa'
import type { IssuerMetrics, RequestOutcome } from './metrics.ts'

/** `routeOf` gives one of few names, whatever the path is. */
export function countRequests(
  metrics: IssuerMetrics,
  routeOf: (path: string) => string,
): Middleware {
  return function countRequest({ res, path }: Context, next: Next) {
    const startedAtMs = performance.now()
    res.once('close', () => {
      const seconds = (performance.now() - startedAtMs) / 1000
      metrics.observeRequest(routeOf(path), outcomeOf(res), seconds)
    })
    return next()
  }
}

function outcomeOf({ statusCode, writableFinished }: ServerResponse): RequestOutcome {
  if (!writableFinished) return 'client_gone'
  if (statusCode >= 500) return 'failed'
  return statusCode >= 400 ? 'refused' : 'allowed'
}
