import type { BlockList } from 'node:net'
import type { Context, Middleware, Next } from 'koa'
import { callerAddress } from '../kernel/caller-address.ts'
import { AppError } from '../kernel/errors.ts'
import type { Log } from '../kernel/log.ts'
import { identifierSchema } from '../registry/identifier.ts'
import type { Clients } from '../registry/registry.ts'
import type { IssuerMetrics } from './metrics.ts'

export type ShedGuessesOptions = {
  clients: Pick<Clients, 'requireRoomForGuess'>
  metrics: IssuerMetrics
  log: Log
  trustedProxies: BlockList
}

const REFUSAL = 'temporarily_unavailable'

/**
 * Refuses a secret that comes as Basic credentials after too many wrong ones, as oidc-provider would after five times the
 * work: whoever guesses all the time slows the others less. What comes in a body is refused there.
 */
export function shedGuesses(options: ShedGuessesOptions): Middleware {
  const { clients, metrics, log, trustedProxies } = options
  return async function shedGuess(ctx: Context, next: Next) {
    const credentials = ctx.path === '/token' ? parseBasic(ctx.get('authorization')) : undefined
    if (credentials === undefined) return next()
    const address = callerAddress(ctx.req, trustedProxies)
    try {
      await clients.requireRoomForGuess({ ...credentials, address })
    } catch (error) {
      if (!(error instanceof AppError)) throw error
      ctx.status = error.status
      ctx.set({ 'cache-control': 'no-store', ...error.headers })
      ctx.body = { error: REFUSAL, error_description: error.message }
      metrics.countRefused(REFUSAL)
      const { data: clientId } = identifierSchema.safeParse(credentials.clientId)
      log.info(
        {
          event: 'token.refused',
          request_id: String(ctx.state['requestId']),
          decision: 'deny',
          reason: REFUSAL,
          client_id: clientId,
          remote_addr: address,
        },
        'token refused',
      )
      return
    }
    return next()
  }
}

/** RFC 6749 §2.3.1: each half is form-encoded. Undefined for what oidc-provider should complain about. */
function parseBasic(header: string): { clientId: string; secret: string } | undefined {
  const encoded = /^basic ([A-Za-z0-9+/=]+)$/i.exec(header)?.[1]
  if (encoded === undefined) return undefined
  const pair = Buffer.from(encoded, 'base64').toString()
  const colon = pair.indexOf(':')
  if (colon < 1) return undefined
  try {
    const [clientId = '', secret = ''] = [pair.slice(0, colon), pair.slice(colon + 1)].map((half) =>
      decodeURIComponent(half.replaceAll('+', '%20')),
    )
    return secret === '' ? undefined : { clientId, secret }
  } catch {
    return undefined
  }
}
