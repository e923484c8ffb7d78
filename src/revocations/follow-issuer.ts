import { setTimeout as pause } from 'node:timers/promises'
import type { Clock } from '../kernel/clock.ts'
import { AppError } from '../kernel/errors.ts'
import type { Log } from '../kernel/log.ts'
import { createEventStreamParser, type StreamItem } from './event-stream.ts'
import type { FollowedRevocations } from './follow-store.ts'
import {
  createLiveRevocations,
  type FedRevocations,
  type LoggedRevocation,
} from './live-revocations.ts'
import { revocationSchema } from './revocation.ts'

/** What opens the feed: a token with the scope `revocations:read`, good until then. */
export type FeedToken = { value: string; expiresAtMs: number }

export type FollowIssuerOptions = {
  /** The issuer's `/revocations`. */
  url: string
  tokens: { get: () => Promise<FeedToken>; forget: () => void }
  clock: Clock
  log: Log
  /** What is known from before, if anything is. */
  live?: FedRevocations
  /** Without a byte for so long, a connection is taken for dead. */
  silenceMs?: number
  firstDelayMs?: number
}

/** The issuer sends a comment every 5 s. */
const SILENCE_MS = 15_000
const FIRST_DELAY_MS = 500
const LONGEST_DELAY_MS = 10_000
/** A stream is taken up again with a fresh token before its own ends. */
const RENEWAL_MARGIN_MS = 20_000
const LONGEST_TIMER_MS = 2_147_483_647

/**
 * Keeps up with the issuer's revocation log over HTTP (server-sent events): all that still matters, then each entry as it
 * is made. After a break it goes on from the last id that it heard; `stalenessSeconds` grows until it hears again.
 */
export function followIssuer(options: FollowIssuerOptions): FollowedRevocations {
  const { url, tokens, clock, log, silenceMs = SILENCE_MS } = options
  const { live = createLiveRevocations(clock), firstDelayMs = FIRST_DELAY_MS } = options
  const closing = new AbortController()
  const { promise: caughtUp, resolve: markCaughtUp } = Promise.withResolvers<void>()
  let lastId = ''
  let delayMs = firstDelayMs
  let hasFailed = false

  function take(items: readonly StreamItem[]): void {
    live.receive(items.flatMap((item) => parseItem(item, log)))
    for (const item of items) {
      if (item.type === 'event') lastId = item.id
      if (item.type === 'retry') delayMs = Math.min(item.delayMs, LONGEST_DELAY_MS)
    }
    if (!items.some(({ type }) => type === 'comment')) return
    // A comment comes once all that there was has been sent, and then while nothing happens.
    live.markComplete()
    markCaughtUp()
    if (hasFailed) log.info({ event: 'revocations.feed_back', url }, 'the issuer is heard again')
    hasFailed = false
    delayMs = firstDelayMs
  }

  /** Ends without an error when a fresh token is due. */
  async function listen(): Promise<void> {
    const token = await tokens.get()
    const renewal = new AbortController()
    const lifetimeMs = Math.max(0, token.expiresAtMs - clock() - RENEWAL_MARGIN_MS)
    const timer = setTimeout(() => renewal.abort(), Math.min(lifetimeMs, LONGEST_TIMER_MS))
    const silence = new AbortController()
    const watchdog = setTimeout(() => silence.abort(silenceFault()), silenceMs)
    try {
      const signal = AbortSignal.any([closing.signal, renewal.signal, silence.signal])
      const body = await openFeed(token.value, signal)
      const parser = createEventStreamParser()
      for await (const chunk of body) {
        watchdog.refresh()
        take(parser.push(chunk))
      }
      throw fault('the issuer has ended the stream')
    } catch (error) {
      if (!renewal.signal.aborted) throw error
      tokens.forget()
    } finally {
      clearTimeout(timer)
      clearTimeout(watchdog)
    }
  }

  async function openFeed(token: string, signal: AbortSignal): Promise<AsyncIterable<Uint8Array>> {
    const response = await fetch(url, {
      redirect: 'error',
      headers: {
        accept: 'text/event-stream',
        authorization: `Bearer ${token}`,
        ...(lastId === '' ? {} : { 'last-event-id': lastId }),
      },
      signal,
    })
    if (response.status === 401) tokens.forget()
    const type = response.headers.get('content-type') ?? ''
    if (response.status === 200 && response.body !== null && /^text\/event-stream\b/i.test(type)) {
      return response.body
    }
    await response.body?.cancel()
    throw fault(`/revocations answers ${response.status} with ${type || 'nothing'}`)
  }

  async function followForGood(): Promise<void> {
    while (!closing.signal.aborted) {
      try {
        await listen()
      } catch (error) {
        if (closing.signal.aborted) return
        if (!hasFailed) {
          log.error(
            { event: 'revocations.feed_failed', url, err: error },
            'the issuer is not heard: revocations may be missed',
          )
        }
        hasFailed = true
        await pause(delayMs * (0.5 + Math.random() / 2), undefined, {
          signal: closing.signal,
        }).catch(() => undefined)
        delayMs = Math.min(delayMs * 2, LONGEST_DELAY_MS)
      }
    }
  }
  void followForGood()

  return { ...live, caughtUp, close: () => closing.abort() }
}

/** One entry of a later version must not keep the others from being heard. */
function parseItem(item: StreamItem, log: Log): LoggedRevocation[] {
  if (item.type !== 'event' || item.name !== 'revocation') return []
  const parsed = revocationSchema.safeParse(parseJson(item.data))
  if (parsed.success) return [{ id: item.id, entry: parsed.data }]
  log.error(
    { event: 'revocations.entry_unknown', target: item.id },
    'a revocation was not understood',
  )
  return []
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

const silenceFault = (): AppError => fault('the issuer has said nothing for too long')
const fault = (why: string): AppError => new AppError('temporarily_unavailable', why)
