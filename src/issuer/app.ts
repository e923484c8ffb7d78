import { createHash } from 'node:crypto'
import type { BlockList } from 'node:net'
import Koa, { type Context, type Middleware, type Next } from 'koa'
import { AppError, toAppError } from '../kernel/errors.ts'
import type { Log } from '../kernel/log.ts'
import { toProblem } from '../kernel/problem.ts'
import { requestIdOf } from '../kernel/request-id.ts'
import { publicJwks, type Ring } from '../keys/ring.ts'
import type { RingSource } from '../keys/ring-source.ts'
import { callerAddress } from '../kernel/caller-address.ts'
import type { LiveProvider } from './live-provider.ts'

export type IssuerAppOptions = {
  issuer: string
  provider: LiveProvider
  ring: RingSource
  jwksMaxAgeSeconds: number
  log: Log
  /** The TLS terminators, which say in `X-Forwarded-For` whom they speak for. */
  trustedProxies: BlockList
}

/** What is served, and by which methods; everything else is 404 or 405 before oidc-provider sees it. */
const ENDPOINTS: Readonly<Record<string, readonly string[]>> = {
  '/.well-known/openid-configuration': ['GET', 'HEAD'],
  '/.well-known/oauth-authorization-server': ['GET', 'HEAD'],
  '/jwks': ['GET', 'HEAD'],
  '/token': ['POST'],
}

/** The issuer's HTTP side: our own routes in front of oidc-provider. */
export function createIssuerApp(options: IssuerAppOptions): Koa {
  const { provider, issuer } = options
  const app = new Koa()
  app.silent = true
  app.use(answerWithProblems(options.log))
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
      ctx.body = JSON.stringify(toProblem(error, requestId))
      ctx.type = 'application/problem+json'
    }
  }
}

function refuseUnknownEndpoints(ctx: Context, next: Next): Promise<void> {
  const methods = Object.hasOwn(ENDPOINTS, ctx.path) ? ENDPOINTS[ctx.path] : undefined
  if (methods === undefined) throw new AppError('not_found', 'There is no such endpoint.')
  if (methods.includes(ctx.method)) return next()
  const allow = methods.join(', ')
  throw new AppError('method_not_allowed', `Only ${allow} here.`, { headers: { allow } })
}

/** The JWK Set with what its readers need to keep it well: an ETag, a max-age, any origin (RFC 9111, RFC 7517 §5). */
function serveJwks({ ring, jwksMaxAgeSeconds }: IssuerAppOptions): Middleware {
  let published = publishedOf(ring.current())
  return async function serveJwkSet(ctx: Context, next: Next) {
    if (ctx.path !== '/jwks') return next()
    if (published.ring !== ring.current()) published = publishedOf(ring.current())
    const { body, etag } = published
    ctx.set({
      etag,
      'cache-control': `public, max-age=${jwksMaxAgeSeconds}`,
      'access-control-allow-origin': '*',
    })
    ctx.type = 'application/jwk-set+json'
    // Koa's own check gives in to `Cache-Control: no-cache`, which Node's fetch adds to every conditional request.
    if (hasEtag(ctx.get('if-none-match'), etag)) ctx.status = 304
    else ctx.body = body
  }
}

function publishedOf(ring: Ring) {
  const body = JSON.stringify(publicJwks(ring))
  return { ring, body, etag: `"${createHash('sha256').update(body).digest('base64url')}"` }
}

/** RFC 9110 §13.1.2: any of a list, compared weakly, as a compressing server in between has weakened ours. */
function hasEtag(ifNoneMatch: string, etag: string): boolean {
  return ifNoneMatch.split(',').some((each) => ['*', etag, `W/${etag}`].includes(each.trim()))
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
  if (ctx.path !== '/token' || (authorizations <= 1 && !inAddress)) return next()
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
