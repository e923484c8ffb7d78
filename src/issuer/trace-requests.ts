import type { IncomingMessage } from 'node:http'
import type { Context, Middleware, Next } from 'koa'
import type { Span, SpanAttributes, Tracer } from '../kernel/tracing.ts'

/** The spans of the requests that are being answered. */
export type RequestTraces = {
  /** Begins one for each request; `routeOf` gives one of few names, whatever the path is. */
  middleware: (routeOf: (path: string) => string) => Middleware
  /** Adds to the span of that request what has become known of it. */
  annotate: (req: IncomingMessage, attributes: SpanAttributes) => void
}

export function createRequestTraces(tracer: Tracer): RequestTraces {
  const spans = new WeakMap<IncomingMessage, Span>()
  return {
    middleware: (routeOf) =>
      function traceRequest({ req, res, method, path }: Context, next: Next) {
        const span = tracer.start(req.headers['traceparent'])
        spans.set(req, span)
        res.once('close', () => {
          const route = routeOf(path)
          const isRoute = route !== 'none'
          const { statusCode, writableFinished } = res
          span.end({
            name: isRoute ? `${method} ${route}` : method,
            hasFailed: statusCode >= 500,
            attributes: {
              'http.request.method': method,
              'http.route': isRoute ? route : undefined,
              'http.response.status_code': writableFinished ? statusCode : undefined,
              'error.type': statusCode >= 500 ? String(statusCode) : undefined,
              'gatehouse.request_id': String(res.getHeader('x-request-id')),
            },
          })
        })
        return next()
      },
    annotate: (req, attributes) => spans.get(req)?.set(attributes),
  }
}
