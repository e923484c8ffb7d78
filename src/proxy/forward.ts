import { attempt, isQuestion, type Exchange, type UpstreamRequest } from './attempt.ts'
import type { UpstreamFailure } from './upstream-failure.ts'
import type { Slot, Upstream } from './upstream.ts'

/**
 * Sends the request and streams the answer back, with backpressure both ways; settles when the exchange is over. Fails
 * with `upstream_unreachable`, `upstream_timeout`, the body's own AppError, or ClientGone, also for a client that takes
 * nothing for `idleMs`. What no connection has taken goes to the next model server; a GET that broke off before the
 * client was told anything, on an idle connection for instance, is sent once more unless its body was streamed (RFC 9110 §9.2.2).
 */
export async function forward(
  exchange: Exchange,
  slot: Slot,
  request: UpstreamRequest,
): Promise<void> {
  let failure = await attempt(exchange, slot.upstream, request)
  if (failure === undefined) return
  const tried = new Set<Upstream>()
  const moveOn = () => exchange.upstreams.move(slot, tried.add(slot.upstream))
  if (maySendAgain(failure, exchange, request)) {
    moveOn()
    failure = await attempt(exchange, slot.upstream, request)
  }
  while (failure?.kind === 'unreachable' && moveOn()) {
    failure = await attempt(exchange, slot.upstream, request)
  }
  if (failure !== undefined) throw failure.error
}

function maySendAgain(
  { kind }: UpstreamFailure,
  { res }: Exchange,
  { method, body }: UpstreamRequest,
): boolean {
  // Of a body that is streamed some may be gone.
  const isWhole = typeof body !== 'function'
  return kind === 'broken_off' && isQuestion(method) && isWhole && !res.headersSent
}
