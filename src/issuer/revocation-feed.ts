import type { ServerResponse } from 'node:http'
import { epochSeconds, type Clock } from '../kernel/clock.ts'
import { AppError } from '../kernel/errors.ts'
import type { Log } from '../kernel/log.ts'
import type { LiveRevocations, LoggedRevocation } from '../revocations/live-revocations.ts'
import type { AccessToken } from '../tokens/access-token.ts'
import { createEventStream } from './event-stream.ts'
import type { OwnRoute } from './own-route.ts'
import type { TokenAuthenticator } from './token-authentication.ts'

/** The scope that opens the feed; tokens for it are for the issuer itself (`resource` = `issuer.url`). */
export const REVOCATIONS_SCOPE = 'revocations:read'

export type RevocationFeedOptions = {
  live: LiveRevocations
  authenticate: TokenAuthenticator
  clock: Clock
  log: Log
  heartbeatMs?: number
}

export type RevocationFeed = {
  /** `GET /revocations`: answers until the reader leaves, its token ends, or the feed is closed. */
  route: OwnRoute
  /** Ends every stream and lets nobody in any more, so that a shutdown need not wait for its readers. */
  close: () => void
}

const HEARTBEAT_MS = 5000
/** Like the skew that the token was accepted with. */
const CLOCK_SKEW_SECONDS = 30

/**
 * The revocation log over HTTP: all that still matters or, after a `Last-Event-ID`, what came since; then each entry as
 * it is heard. A comment goes out once all has been replayed and every 5 s, unless this issuer itself has lost touch with
 * the log: so a reader may take each for the word that it has missed nothing.
 */
export function createRevocationFeed(options: RevocationFeedOptions): RevocationFeed {
  const { live, authenticate, clock, log, heartbeatMs = HEARTBEAT_MS } = options
  const open = new Set<() => void>()
  let isClosed = false

  const isInTouch = () => live.stalenessSeconds() * 1000 <= HEARTBEAT_MS
  const isOver = (token: AccessToken) =>
    live.isRevoked(token) || epochSeconds(clock) >= token.expiresAt + CLOCK_SKEW_SECONDS

  function stream(res: ServerResponse, token: AccessToken, lastEventId: string | undefined): void {
    const events = createEventStream(res, entriesAfter(live.entries(), lastEventId))
    const endIfOver = () => {
      if (isOver(token)) events.end()
    }
    const beat = () => {
      if (isInTouch()) events.beat()
      endIfOver()
    }
    const stopListening = live.onRevocation((news) => {
      events.push(news)
      endIfOver()
    })
    const timer = setInterval(beat, heartbeatMs)
    open.add(events.end)
    res.once('close', () => {
      clearInterval(timer)
      stopListening()
      open.delete(events.end)
    })
    beat()
  }

  const serve: OwnRoute['serve'] = async (req, res, requestId) => {
    const token = await authenticate(req, REVOCATIONS_SCOPE)
    if (isClosed || live.stalenessSeconds() === Infinity) throw notNow()
    const line = { request_id: requestId, client_id: token.clientId, jti: token.jti }
    log.info({ ...line, event: 'revocations.followed', decision: 'allow' }, 'a reader follows')
    res.once('close', () => log.info({ ...line, event: 'revocations.left' }, 'a reader is gone'))
    res.writeHead(200, {
      'content-type': 'text/event-stream',
      'cache-control': 'no-store',
      // nginx would otherwise collect events before it passes them on.
      'x-accel-buffering': 'no',
      'x-request-id': requestId,
    })
    stream(res, token, req.headersDistinct['last-event-id']?.[0])
  }

  return {
    route: { path: '/revocations', serve },
    close() {
      isClosed = true
      for (const end of open) end()
    },
  }
}

/** An id that is not there (any more) replays everything: entries say the same however often they are read. */
function entriesAfter(
  entries: readonly LoggedRevocation[],
  lastEventId: string | undefined,
): readonly LoggedRevocation[] {
  return entries.slice(entries.findLastIndex(({ id }) => id === lastEventId) + 1)
}

function notNow(): AppError {
  return new AppError('temporarily_unavailable', 'The revocation log is not at hand.', {
    reason: 'revocations_unknown',
    headers: { 'retry-after': '1' },
  })
}
