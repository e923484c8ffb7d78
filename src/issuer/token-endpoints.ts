import type Provider from 'oidc-provider'
import type { Client, KoaContextWithOIDC, RefreshToken } from 'oidc-provider'
import { epochSeconds, type Clock } from '../kernel/clock.ts'
import { AppError } from '../kernel/errors.ts'
import type { Log, LogFields } from '../kernel/log.ts'
import { appendRevocation } from '../revocations/append-revocation.ts'
import type { Store } from '../store/store.ts'
import type { findAccountIn } from './accounts.ts'
import type { OwnTokens } from './own-tokens.ts'
import type { Resources } from './resources.ts'
import type { SignJwt } from './signing-keys.ts'
import { introspectionOf } from './token-introspection.ts'

export type TokenEndpointsOptions = {
  issuer: string
  resources: Resources
  ownTokens: OwnTokens
  signJwt: SignJwt
  store: Store
  clock: Clock
  log: Log
}

/** RFC 9701 §5. */
const SIGNED = 'application/token-introspection+jwt'

/**
 * Answers at the revocation and introspection endpoints (RFC 7009, RFC 7662) for JWTs, which oidc-provider turns away
 * once it has authenticated the client, and signs introspections for whoever asks for that (RFC 9701).
 */
export function answerForJwts(provider: Provider, options: TokenEndpointsOptions): void {
  const { issuer, resources, ownTokens, signJwt, store, clock, log } = options

  async function revoke({ oidc: { client } }: KoaContextWithOIDC, rawToken: string) {
    const token = await ownTokens.findLive(rawToken)
    // Another client's token stays as it is; what is not alive needs nothing (RFC 7009 §2.2).
    if (token === undefined || token.clientId !== client?.clientId) return
    const entry = { kind: 'jti', value: token.jti, exp: Math.ceil(token.expiresAt) } as const
    await appendRevocation(store, entry)
    recordRevocation({
      client_id: token.clientId,
      sub: token.subject,
      tenant_id: token.tenantId,
      jti: token.jti,
    })
  }

  const recordRevocation = (fields: LogFields) =>
    log.info(
      { event: 'token.revoked', decision: 'allow', ...fields },
      'token revoked by its client',
    )

  /** A refresh token that oidc-provider has ended, with its grant. Its own name is what opens: it stays out. */
  function recordRefreshToken({ oidc: { client, entities } }: KoaContextWithOIDC) {
    const token = entities.RefreshToken
    if (client === undefined || token === undefined || !isOfClient(undefined, client, token)) return
    recordRevocation({
      client_id: client.clientId,
      sub: token.accountId,
      tenant_id: tenantOf(client),
    })
  }

  async function answer(ctx: KoaContextWithOIDC): Promise<void> {
    const { client, params, route } = ctx.oidc
    const rawToken = params?.['token']
    if (client === undefined || typeof rawToken !== 'string') return
    if (route === 'revocation') {
      await revoke(ctx, rawToken)
      ctx.body = ''
    } else {
      const token = await ownTokens.findLive(rawToken)
      ctx.body = introspectionOf(token, client, { issuer, resources, now: epochSeconds(clock) })
    }
    ctx.status = 200
  }

  async function signIfAsked(ctx: KoaContextWithOIDC): Promise<void> {
    const { client, route } = ctx.oidc
    if (route !== 'introspection' || ctx.status !== 200 || client === undefined) return
    if (!wantsSigned(ctx)) return
    ctx.body = await signJwt('token-introspection+jwt', {
      iss: issuer,
      aud: client.clientId,
      iat: epochSeconds(clock),
      token_introspection: ctx.body,
    })
    ctx.set('content-type', SIGNED)
  }

  provider.use(async function answerForJwt(ctx: KoaContextWithOIDC, next: () => Promise<void>) {
    await next()
    if (ctx.oidc?.route === 'discovery') announce(ctx, issuer)
    if (ctx.oidc?.route !== 'revocation' && ctx.oidc?.route !== 'introspection') return
    try {
      if (isTurnedAway(ctx)) await answer(ctx)
      else if (ctx.oidc.route === 'revocation') recordRefreshToken(ctx)
      await signIfAsked(ctx)
    } catch (error) {
      if (!(error instanceof AppError)) throw error
      // RFC 7009 §2.2.1: the client is to take it that the token still exists, and come again.
      ctx.status = error.status
      ctx.set({ ...error.headers })
      ctx.body = { error: 'temporarily_unavailable', error_description: error.message }
    }
  })
}

/** What oidc-provider does not know that it serves (RFC 9701 §7, OpenID Connect Discovery §3). */
function announce(ctx: KoaContextWithOIDC, issuer: string): void {
  if (typeof ctx.body !== 'object') return
  ctx.body = {
    ...ctx.body,
    introspection_signing_alg_values_supported: ['RS256'],
    userinfo_endpoint: `${issuer}/me`,
  }
}

type HeldToken = Partial<Pick<RefreshToken, 'clientId' | 'accountId' | 'iat' | 'gty'>>

/** Of a refresh token nobody but the client that has it may know anything, or end it. */
export function isOfClient(_ctx: unknown, client: Client, token: HeldToken): boolean {
  return token.clientId === client.clientId
}

/** And it is not alive when using it would fail: whom it speaks for was stopped, or it was revoked with all else. */
export function isAliveFor(findAccount: ReturnType<typeof findAccountIn>) {
  return async function isAlive(ctx: KoaContextWithOIDC, client: Client, token: HeldToken) {
    if (!isOfClient(ctx, client, token) || token.accountId === undefined) return false
    return (await findAccount(ctx, token.accountId, token)) !== undefined
  }
}

const tenantOf = ({ tenant_id: id }: Client) => (typeof id === 'string' ? id : undefined)

function isTurnedAway({ status, body }: KoaContextWithOIDC): boolean {
  return (
    status === 400 &&
    typeof body === 'object' &&
    body !== null &&
    'error' in body &&
    body.error === 'unsupported_token_type'
  )
}

/** The headers as they came: what oidc-provider is to answer with is not the caller's to decide; see app.ts. */
function wantsSigned({ req }: KoaContextWithOIDC): boolean {
  const accept = req.headersDistinct['accept']?.join(',') ?? ''
  return accept.split(',').some((each) => each.split(';')[0]?.trim().toLowerCase() === SIGNED)
}
