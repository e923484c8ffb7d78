import type { BlockList } from 'node:net'
import Koa, { type Context, type Middleware, type Next } from 'koa'
import { AppError, AuthError, toAppError } from '../kernel/errors.ts'
import type { Log } from '../kernel/log.ts'
import { toProblem } from '../kernel/problem.ts'
import { requestIdOf } from '../kernel/request-id.ts'
import { callerAddress } from '../kernel/caller-address.ts'
import { challengesOf } from '../tokens/challenge.ts'
import { serveJwks, type JwksOptions } from './jwks.ts'
import type { LiveProvider } from './live-provider.ts'
import type { OwnRoute } from './own-route.ts'

export type IssuerAppOptions = JwksOptions & {
  issuer: string
  provider: LiveProvider
  log: Log
  /** The TLS terminators, which say in `X-Forwarded-For` whom they speak for. */
  trustedProxies: BlockList
  ownRoutes: readonly OwnRoute[]
}

/** What is served, and by which methods; everything else is 404 or 405 before oidc-provider sees it. */
const ENDPOINTS: Readonly<Record<string, readonly string[]>> = {
  '/.well-known/openid-configuration': ['GET', 'HEAD'],
  '/.well-known/oauth-authorization-server': ['GET', 'HEAD'],
  '/jwks': ['GET', 'HEAD'],
  '/token': ['POST'],
  '/token/introspection': ['POST'],
  '/token/revocation': ['POST'],
}

/** The issuer's HTTP side: our own routes in front of oidc-provider. */
export function createIssuerApp(options: IssuerAppOptions): Koa {
  const { provider, issuer } = options
  const app = new Koa()
  app.silent = true
  app.use(answerWithProblems(options.log))
  app.use(serveOwnRoutes(options.ownRoutes))
  app.use(refuseUnknownEndpoints)
  app.use(serveJwks(options))
  app.use(refuseAmbiguousCredentials)
  app.use(pinOrigin(new URL(issuer), options.trustedProxies))
  app.use(passTo(provider))
  return app
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
      ctx.set({ 'cache-control': 'no-store', ...error.headers })
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
    requireMethod(ctx, route.methods)
    await route.serve(ctx.req, ctx.res, String(ctx.state['requestId']))
    ctx.respond = false
  }
}

function refuseUnknownEndpoints(ctx: Context, next: Next): Promise<void> {
  const methods = Object.hasOwn(ENDPOINTS, ctx.path) ? ENDPOINTS[ctx.path] : undefined
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
  if (!ctx.path.startsWith('/token') || (authorizations <= 1 && !inAddress)) return next()
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
 * oidc-provider builds addresses from the request and chooses HTML by `Accept`. Neither is the caller's to decide: the
 * origin is the configured issuer (RFC 8414 §3.3), errors are JSON (RFC 6749 §5.2), and the address is the caller's own.
 */
function pinOrigin({ host, protocol }: URL, trustedProxies: BlockList): Middleware {
  return function pinRequest({ req }: Context, next: Next) {
    const address = callerAddress(req, trustedProxies)
    for (const name of Object.keys(req.headers)) {
      if (name === 'forwarded' || name.startsWith('x-forwarded-')) delete req.headers[name]
    }
    req.headers.host = host
    req.headers['x-forwarded-proto'] = protocol.slice(0, -1)
    req.headers['x-forwarded-for'] = address
    req.headers.accept = 'application/json'
    return next()
  }
}

function passTo({ handle }: LiveProvider): Middleware {
  return async function passToProvider(ctx: Context) {
    ctx.respond = false
    await handle(ctx.req, ctx.res)
  }
}
