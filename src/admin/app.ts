import type { BlockList } from 'node:net'
import Koa, { type Context } from 'koa'
import type { AuditTrail } from '../audit/trail.ts'
import { callerAddress } from '../kernel/caller-address.ts'
import { AuthError, toAppError } from '../kernel/errors.ts'
import type { Log, LogFields } from '../kernel/log.ts'
import { toProblem } from '../kernel/problem.ts'
import { requestIdOf } from '../kernel/request-id.ts'
import { createRingKeys } from '../keys/ring-keys.ts'
import type { ClaimsPolicy } from '../tokens/access-token.ts'
import { bearerChallenge } from '../tokens/challenge.ts'
import { createTokenVerifier } from '../tokens/verify.ts'
import { createAdminAuthenticator } from './admin-authentication.ts'
import { createAdminEndpoints, type AdminEndpointsOptions } from './admin-endpoints.ts'
import { ADMIN_SCOPES, adminResourceOf, requireScope } from './admin-scopes.ts'
import type { Answer, Endpoint } from './endpoint.ts'
import { createOpenApiDocument } from './openapi.ts'
import { markOf } from './repeated-requests.ts'
import { entityTag, parseIfMatch, parseQuery, readJsonBody } from './request-input.ts'
import { createRouteTable } from './route-table.ts'

export type AdminAppOptions = AdminEndpointsOptions & {
  audit: Pick<AuditTrail, 'requireRecordable'>
  log: Log
  /** The TLS terminators, which say whom they speak for, and whose certificate they have seen. */
  trustedProxies: BlockList
  /** Whether callers come by https. */
  isSecure: boolean
}

const METADATA_PATH = '/.well-known/oauth-protected-resource'
const CLOCK_SKEW_SECONDS = 30

/** What takes power away is not put off until a full disk has been seen to, nor is what only looks. */
const ALWAYS_POSSIBLE = new Set([
  'admin.revocations.create',
  'admin.keys.compromise',
  'admin.tenants.suspend',
  'admin.clients.disable',
  'admin.users.disable',
  'admin.tokens.explain',
])

/** A document that everybody may read: how to get in, and what is there. */
type Published = { method: 'GET'; path: string; operation: string; document: object }

/** The operators' HTTP API: what it takes to get from a request to its answer, top to bottom. */
export function createAdminApp(options: AdminAppOptions): Koa {
  const { issuer, registry, clock, log } = options
  const audience = adminResourceOf(issuer)
  const policy: ClaimsPolicy = {
    issuer,
    audiences: [audience],
    clockSkewSeconds: CLOCK_SKEW_SECONDS,
    senderConstrained: 'checked_by_caller',
  }
  const authenticate = createAdminAuthenticator({
    verify: createTokenVerifier(createRingKeys(options.ring), policy, clock),
    ...registry,
    ...options.revocations,
    trustedProxies: options.trustedProxies,
  })
  const endpoints = createAdminEndpoints(options)
  const findRoute = createRouteTable([...endpoints, ...publishedBy(endpoints, issuer)])

  async function answerTo(ctx: Context, entry: LogFields): Promise<Answer> {
    const [path = '', ...query] = ctx.req.url?.split('?') ?? []
    const { target, params } = findRoute(ctx.method, path)
    Object.assign(entry, { event: target.operation, route: target.path })
    if ('document' in target) return { status: 200, body: target.document }

    const caller = await authenticate(ctx.req)
    Object.assign(entry, {
      tenant_id: caller.tenantId,
      client_id: caller.clientId,
      sub: caller.subject,
      jti: caller.jti,
    })
    requireScope(caller, target.scope)
    if (target.method !== 'GET' && !ALWAYS_POSSIBLE.has(target.operation)) {
      options.audit.requireRecordable()
    }

    Object.assign(entry, { target: Object.values(params).at(0)?.slice(0, 200) })
    const received = {
      params,
      query: parseQuery(query.join('?')),
      body: target.takes.body === undefined ? undefined : await readJsonBody(ctx.req),
    }
    const expected = parseIfMatch(headerOf(ctx, 'if-match'))
    if (target.isRepeatable !== true) {
      return named(entry, target, await target.run({ ...received, caller, expected }))
    }
    const mark = markOf({
      key: headerOf(ctx, 'idempotency-key'),
      clientId: caller.clientId,
      target: `${target.method} ${path}`,
      body: received.body,
    })
    return named(entry, target, await target.run({ ...received, caller, expected, mark }))
  }

  const app = new Koa()
  app.silent = true
  app.use(async function serveAdminRequest(ctx) {
    const startedAtMs = clock()
    const entry: LogFields = {
      event: 'admin.unknown',
      request_id: requestIdOf(ctx.req),
      decision: 'allow',
      method: ctx.method,
      remote_addr: callerAddress(ctx.req, options.trustedProxies),
    }
    ctx.set({ 'x-request-id': String(entry.request_id), 'cache-control': 'no-store' })
    try {
      send(ctx, await answerTo(ctx, entry))
    } catch (thrown) {
      refuse(ctx, { thrown, entry, isSecure: options.isSecure })
    }
    const line = { ...entry, status: ctx.status, duration_ms: clock() - startedAtMs }
    if (ctx.status >= 500) log.error(line, 'admin request failed')
    else log.info(line, 'admin request')
  })
  return app
}

function publishedBy(endpoints: readonly Endpoint[], issuer: string): Published[] {
  return [
    {
      method: 'GET',
      path: METADATA_PATH,
      operation: 'admin.metadata.show',
      // RFC 9728 §2: how the command line, which knows only this listener, finds the issuer.
      document: {
        resource: adminResourceOf(issuer),
        authorization_servers: [issuer],
        scopes_supported: ADMIN_SCOPES,
        bearer_methods_supported: ['header'],
        resource_name: 'Gatehouse admin API',
      },
    },
    {
      method: 'GET',
      path: '/admin/v1/openapi.json',
      operation: 'admin.openapi.show',
      document: createOpenApiDocument(endpoints, issuer),
    },
  ]
}

/** Of what is made the name is known only now. */
function named(entry: LogFields, { idMember }: Endpoint, answer: Answer): Answer {
  const id = idMember && Object.entries(answer.body ?? {}).find(([name]) => name === idMember)?.[1]
  if (typeof id === 'string') entry.target = id
  return answer
}

function send(ctx: Context, { status, body, version, once, isReplay }: Answer): void {
  ctx.status = status
  if (version !== undefined) ctx.set('etag', entityTag(version))
  if (isReplay === true) ctx.set('idempotency-replayed', 'true')
  if (body === undefined) return
  ctx.body = JSON.stringify({ ...body, ...once })
  ctx.type = 'application/json'
}

type Refusal = { thrown: unknown; entry: LogFields; isSecure: boolean }

function refuse(ctx: Context, { thrown, entry, isSecure }: Refusal): void {
  const error = toAppError(thrown)
  Object.assign(entry, { decision: 'deny', reason: error.reason })
  if (error.status >= 500) entry.err = error
  ctx.status = error.status
  ctx.set({ 'x-content-type-options': 'nosniff', ...error.headers })
  if (error instanceof AuthError) {
    ctx.set('www-authenticate', bearerChallenge(error, metadataUrlFor(ctx, isSecure)))
  }
  ctx.body = JSON.stringify(toProblem(error, String(entry.request_id)))
  ctx.type = 'application/problem+json'
}

/** At the address that the caller used, as a client of RFC 9728 §3 expects; no other caller ever sees it. */
function metadataUrlFor(ctx: Context, isSecure: boolean): string {
  const host = ctx.req.headers.host ?? ''
  const isPlain = /^([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(:\d{1,5})?$/.test(host)
  return `${isSecure ? 'https' : 'http'}://${isPlain ? host : 'localhost'}${METADATA_PATH}`
}

function headerOf(ctx: Context, name: string): string | undefined {
  const value = ctx.req.headers[name]
  return Array.isArray(value) ? value.join(', ') : value
}
