import type Provider from 'oidc-provider'
import type { KoaContextWithOIDC } from 'oidc-provider'
import type { Log, LogFields } from '../kernel/log.ts'
import { identifierSchema } from '../registry/identifier.ts'
import type { SpanAttributes } from '../kernel/tracing.ts'
import type { IssuerMetrics } from './metrics.ts'
import type { RequestTraces } from './trace-requests.ts'

type TokenRecords = {
  log: Log
  metrics: IssuerMetrics
  annotate?: RequestTraces['annotate'] | undefined
}

/** Writes one line and counts one for every token request, granted or not, with the reason. */
export function recordTokenRequests(
  provider: Provider,
  { log, metrics, annotate }: TokenRecords,
): void {
  /** The client, and never the person. */
  const trace = (ctx: KoaContextWithOIDC, attributes: SpanAttributes): void => {
    if (annotate === undefined) return
    const { client_id, tenant_id } = fieldsOf(ctx)
    const grant = ctx.oidc.params?.['grant_type']
    annotate(ctx.req, {
      'gatehouse.client_id': client_id,
      'gatehouse.tenant_id': tenant_id,
      'gatehouse.grant_type': typeof grant === 'string' ? grant.slice(0, 100) : undefined,
      ...attributes,
    })
  }

  provider.on('grant.success', (ctx) => {
    const grant = String(ctx.oidc.params?.['grant_type'])
    metrics.countIssued(grant)
    trace(ctx, { 'gatehouse.decision': 'allow' })
    const token = ctx.oidc.entities.AccessToken ?? ctx.oidc.entities.ClientCredentials
    log.info(
      {
        ...fieldsOf(ctx),
        event: 'token.issued',
        decision: 'allow',
        grant_type: grant,
        jti: token?.jti,
      },
      'token issued',
    )
  })
  provider.on('grant.error', (ctx, error) => {
    metrics.countRefused(error.error)
    trace(ctx, { 'gatehouse.decision': 'deny', 'gatehouse.reason': error.error })
    log.info(
      { ...fieldsOf(ctx), event: 'token.refused', decision: 'deny', reason: error.error },
      'token refused',
    )
  })
  provider.on('server_error', (ctx, error) => {
    metrics.countRefused('server_error')
    trace(ctx, { 'gatehouse.decision': 'deny', 'gatehouse.reason': 'server_error' })
    log.error(
      { ...fieldsOf(ctx), event: 'token.refused', decision: 'deny', err: error },
      'token request failed',
    )
  })
}

function fieldsOf(ctx: KoaContextWithOIDC): LogFields {
  const { client, account } = ctx.oidc
  return {
    request_id: String(ctx.res.getHeader('x-request-id')),
    client_id: client?.clientId ?? claimedClientId(ctx),
    tenant_id: typeof client?.['tenant_id'] === 'string' ? client['tenant_id'] : undefined,
    sub: account?.accountId ?? client?.clientId,
    remote_addr: ctx.ip,
  }
}

/** Whom a request that failed says it is; only what could be a client id, as anyone can write it. */
function claimedClientId(ctx: KoaContextWithOIDC): string | undefined {
  const basic = /^basic ([A-Za-z0-9+/=]+)$/i.exec(ctx.get('authorization'))?.[1] ?? ''
  const claimed =
    ctx.oidc.params?.['client_id'] ?? Buffer.from(basic, 'base64').toString().split(':', 1)[0]
  return typeof claimed === 'string' && identifierSchema.safeParse(claimed).success
    ? claimed
    : undefined
}
