import type { BlockList } from 'node:net'
import type { Context, Middleware, Next } from 'koa'
import type { AuditTrail } from '../audit/trail.ts'
import { callerAddress } from '../kernel/caller-address.ts'
import { AppError } from '../kernel/errors.ts'
import type { Log } from '../kernel/log.ts'

export type RecordableOptions = {
  audit: Pick<AuditTrail, 'requireRecordable'>
  trustedProxies: BlockList
  log: Log
}

/** Gives no token while nobody could say later that it was given (RFC 6749 §5.2 in form, 503 as everywhere else). */
export function refuseUnrecordableTokens({
  audit,
  trustedProxies,
  log,
}: RecordableOptions): Middleware {
  return async function refuseUnrecordable(ctx: Context, next: Next) {
    if (ctx.path !== '/token') return next()
    try {
      audit.requireRecordable()
    } catch (error) {
      if (!(error instanceof AppError)) throw error
      ctx.status = error.status
      ctx.set({ 'cache-control': 'no-store', ...error.headers })
      ctx.body = { error: 'temporarily_unavailable', error_description: error.message }
      const fields = {
        event: 'token.refused',
        request_id: String(ctx.state['requestId']),
        decision: 'deny',
        reason: error.reason,
        remote_addr: callerAddress(ctx.req, trustedProxies),
      }
      return log.error(fields, 'token refused')
    }
    return next()
  }
}
