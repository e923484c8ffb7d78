import type { BlockList } from 'node:net'
import Koa, { type Context, type Middleware, type Next } from 'koa'
import type { AuditTrail } from '../audit/trail.ts'
import { AppError, AuthError, toAppError } from '../kernel/errors.ts'
import type { Log } from '../kernel/log.ts'
import { toProblem } from '../kernel/problem.ts'
import { requestIdOf } from '../kernel/request-id.ts'
import { callerAddress } from '../kernel/caller-address.ts'
import { challengesOf } from '../tokens/challenge.ts'
import { countRequests } from './count-requests.ts'
import { serveJwks, type JwksOptions } from './jwks.ts'
import type { IssuerMetrics } from './metrics.ts'
import { shedGuesses } from './shed-guesses.ts'
import type { LiveProvider } from './live-provider.ts'
import { OWN_ENDPOINTS, type OwnRoute } from './own-route.ts'
import type { Registry } from '../registry/registry.ts'
import type { Store } from '../store/store.ts'
import { createConsents } from './consents.ts'
import { createFormTokens } from './form-tokens.ts'
import { serveInteractions } from './interactions.ts'
import type { RequestTraces } from './trace-requests.ts'
import { answerBrowsers } from './answer-browsers.ts'
import { refuseUnrecordableTokens } from './recordable-requests.ts'
import { redirectPostedRequests } from './posted-requests.ts'
import { endpointOf, isPagePath, PAGE_ENDPOINTS } from './page-routes.ts'
import { serveStylesheet, STYLESHEET_PATH } from './pages/stylesheet.ts'

export type IssuerAppOptions = JwksOptions & {
  issuer: string
  audit: Pick<AuditTrail, 'requireRecordable'>
  provider: LiveProvider
  registry: Registry
  store: Store
  defaultResource: string
  metrics: IssuerMetrics
  /** Undefined where requests are not traced. */
  traces?: RequestTraces | undefined
  log: Log
  /** From which the tokens in our forms are made. */
  formKey: Buffer
  /** The TLS terminators, which say in `X-Forwarded-For` whom they speak for. */
  trustedProxies: BlockList
  ownRoutes: readonly OwnRoute[]
}

/** What is served beside our own, and by which methods; everything else is 404 or 405 before oidc-provider sees it. */
export const ENDPOINTS: Readonly<Record<string, readonly string[]>> = {
  '/.well-known/openid-configuration': ['GET', 'HEAD'],
  '/.well-known/oauth-authorization-server': ['GET', 'HEAD'],
  '/jwks': ['GET', 'HEAD'],
  '/token': ['POST'],
  '/token/introspection': ['POST'],
  '/token/revocation': ['POST'],
  '/device/auth': ['POST'],
  '/request': ['POST'],
  [STYLESHEET_PATH]: ['GET', 'HEAD'],
  ...PAGE_ENDPOINTS,
}

/** Where a client authenticates itself to oidc-provider. */
const AUTHENTICATES = new Set([
  '/token',
  '/token/introspection',
  '/token/revocation',
  '/device/auth',
  '/request',
])

/** The issuer's HTTP side: our own routes in front of oidc-provider. */
export function createIssuerApp(options: IssuerAppOptions): Koa {
  const { provider, log } = options
  const issuer = new URL(options.issuer)
  const app = new Koa()
  app.silent = true
  const routeOf = routeOfPath(options.ownRoutes)
  app.use(countRequests(options.metrics, routeOf))
  if (options.traces !== undefined) app.use(options.traces.middleware(routeOf))
  app.use(answerWithProblems(log))
  app.use(serveOwnRoutes(options.ownRoutes))
  app.use(refuseUnknownEndpoints)
  app.use(answerBrowsers(issuer, log))
  app.use(redirectPostedRequests)
  app.use(serveStylesheet)
  app.use(serveJwks(options))
  app.use(refuseUnrecordableTokens(options))
  app.use(refuseAmbiguousCredentials)
  app.use(shedGuesses({ ...options, clients: options.registry.clients }))
  app.use(pinOrigin(issuer, options.trustedProxies))
  app.use(
    serveInteractions({
      ...options,
      consents: createConsents(options.store),
      formTokens: createFormTokens(options.formKey),
    }),
  )
  app.use(passTo(provider))
  return app
}

/** The endpoint of a path, `none` where there is none: what metrics may be labelled with. */
function routeOfPath(ownRoutes: readonly OwnRoute[]): (path: string) => string {
  const known = new Set([...Object.keys(ENDPOINTS), ...ownRoutes.map(({ path }) => path)])
  return function routeOf(path) {
    const endpoint = endpointOf(path)
    return known.has(endpoint) ? endpoint : 'none'
  }
}

function answerWithProblems(log: Log): Middleware {
  return async function answerWithProblem(ctx: Context, next: Next) {
    const requestId = requestIdOf(ctx.req)
    ctx.state['requestId'] = requestId
    ctx.set('x-request-id', requestId)
    try {
      await next()
    } catch (thrown) {
      const error = toAppError(thrown)
      if (error.status >= 500) log.error({ request_id: requestId, err: error }, 'issuer failed')
      ctx.status = error.status
      ctx.set({
        'cache-control': 'no-store',
        'x-content-type-options': 'nosniff',
        ...error.headers,
      })
      if (error instanceof AuthError) {
        ctx.set('www-authenticate', challengesOf(error, ctx.req.headers.authorization))
      }
      ctx.body = JSON.stringify(toProblem(error, requestId))
      ctx.type = 'application/problem+json'
    }
  }
}

function serveOwnRoutes(routes: readonly OwnRoute[]): Middleware {
  return async function serveOwnRoute(ctx: Context, next: Next) {
    const route = routes.find(({ path }) => path === ctx.path)
    if (route === undefined) return next()
    requireMethod(ctx, OWN_ENDPOINTS[route.path])
    await route.serve(ctx.req, ctx.res, String(ctx.state['requestId']))
    ctx.respond = false
  }
}

function refuseUnknownEndpoints(ctx: Context, next: Next): Promise<void> {
  const endpoint = endpointOf(ctx.path)
  const methods = Object.hasOwn(ENDPOINTS, endpoint) ? ENDPOINTS[endpoint] : undefined
  if (methods === undefined) throw new AppError('not_found', 'There is no such endpoint.')
  requireMethod(ctx, methods)
  return next()
}

function requireMethod({ method }: Context, methods: readonly string[]): void {
  if (methods.includes(method)) return
  const allow = methods.join(', ')
  throw new AppError('method_not_allowed', `Only ${allow} here.`, { headers: { allow } })
}

/** RFC 6749 §2.3: one way of authentication, and never in the address. */
function refuseAmbiguousCredentials(ctx: Context, next: Next): Promise<void> {
  const names = ctx.req.rawHeaders
    .filter((_value, i) => i % 2 === 0)
    .map((name) => name.toLowerCase())
  const authorizations = names.filter((name) => name === 'authorization').length
  const inAddress = ['client_id', 'client_secret', 'client_assertion'].some(
    (name) => name in ctx.query,
  )
  if (!AUTHENTICATES.has(ctx.path) || (authorizations <= 1 && !inAddress)) return next()
  ctx.status = 400
  ctx.set('cache-control', 'no-store')
  ctx.body = {
    error: 'invalid_request',
    error_description: inAddress
      ? 'credentials in the address'
      : 'more than one Authorization header',
  }
  return Promise.resolve()
}

/**
 * oidc-provider builds addresses from the request and chooses HTML by `Accept`. The origin is not the caller's to decide
 * but the configured issuer (RFC 8414 §3.3), the address is the caller's own, and where no browser goes, errors are JSON
 * (RFC 6749 §5.2).
 */
function pinOrigin({ host, protocol }: URL, trustedProxies: BlockList): Middleware {
  return function pinRequest({ req, path, state }: Context, next: Next) {
    const address = callerAddress(req, trustedProxies)
    state['address'] = address
    for (const name of Object.keys(req.headers)) {
      if (name === 'forwarded' || name.startsWith('x-forwarded-')) delete req.headers[name]
    }
    req.headers.host = host
    req.headers['x-forwarded-proto'] = protocol.slice(0, -1)
    req.headers['x-forwarded-for'] = address
    if (!isPagePath(path)) req.headers.accept = 'application/json'
    return next()
  }
}

function passTo({ handle }: LiveProvider): Middleware {
  return async function passToProvider(ctx: Context) {
    ctx.respond = false
    await handle(ctx.req, ctx.res)
  }
}
