import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { followIssuer, type FeedToken } from '../../src/revocations/follow-issuer.ts'
import type { FollowedRevocations } from '../../src/revocations/follow-store.ts'
import { createTestLog } from '../support/log-lines.ts'
import { waitUntil } from '../support/wait-until.ts'

type Feed = {
  url: string
  /** Every request that came, in order. */
  asked: IncomingMessage[]
  /** The streams that are open, by the order of their requests. */
  streams: ServerResponse[]
  answer: (respond: (res: ServerResponse) => void) => void
  close: () => Promise<void>
}

/** The issuer's `/revocations` as the test wants it. */
async function startFeed(): Promise<Feed> {
  const asked: IncomingMessage[] = []
  const streams: ServerResponse[] = []
  let respond = (res: ServerResponse) => {
    res.writeHead(200, { 'content-type': 'text/event-stream' }).flushHeaders()
    streams.push(res)
  }
  const server = createServer((req, res) => {
    asked.push(req)
    respond(res)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  return {
    url: `http://127.0.0.1:${address.port}/revocations`,
    asked,
    streams,
    answer: (next) => (respond = next),
    close() {
      server.closeAllConnections()
      return new Promise((resolve) => server.close(() => resolve()))
    },
  }
}

const NOW = 1_700_000_000
const time = { now: NOW * 1000 }
const eventOf = (id: number, jti: string) =>
  `event: revocation\nid: ${id}\ndata: {"kind":"jti","value":"${jti}","exp":${NOW + 900}}\n\n`
const tokenOf = (jti: string) => ({
  jti,
  clientId: 'c',
  subject: 's',
  tenantId: 't',
  kid: 'k',
  issuedAt: NOW,
})

let feed: Feed
let issued: string[]
let lifetimeMs: number
let followed: FollowedRevocations | undefined
const { log, lines: text } = createTestLog()
const logged = () => text.map((line) => JSON.parse(line) as Record<string, unknown>)

beforeEach(async () => {
  time.now = NOW * 1000
  issued = []
  lifetimeMs = 900_000
  text.length = 0
  feed = await startFeed()
})
afterEach(async () => {
  followed?.close()
  await feed.close()
})

function follow(silenceMs = 5000): FollowedRevocations {
  let token: FeedToken | undefined
  const tokens = {
    get: async () => {
      if (token === undefined) {
        issued.push(`token-${issued.length + 1}`)
        token = { value: issued.at(-1) ?? '', expiresAtMs: time.now + lifetimeMs }
      }
      return token
    },
    forget: () => (token = undefined),
  }
  followed = followIssuer({
    url: feed.url,
    tokens,
    clock: () => time.now,
    log,
    silenceMs,
    firstDelayMs: 10,
  })
  return followed
}

const streamAt = async (index: number): Promise<ServerResponse> => {
  await waitUntil('a stream', async () => feed.streams.length > index)
  const stream = feed.streams[index]
  if (stream === undefined) throw new Error('no stream')
  return stream
}

describe('a follower of the issuer', () => {
  test('knows all that was revoked once the first comment comes, and hears what is revoked then', async () => {
    const { isRevoked, stalenessSeconds, caughtUp } = follow()
    const stream = await streamAt(0)
    stream.write(eventOf(1, 'a'))
    await waitUntil('the entry', async () => isRevoked(tokenOf('a')))
    expect(stalenessSeconds()).toBe(Infinity)
    stream.write(':\n\n')
    await caughtUp
    expect(stalenessSeconds()).toBe(0)
    stream.write(eventOf(2, 'b'))
    await waitUntil('the entry', async () => isRevoked(tokenOf('b')))
    expect(isRevoked(tokenOf('c'))).toBe(false)
    expect(feed.asked[0]?.headers).toMatchObject({
      authorization: 'Bearer token-1',
      accept: 'text/event-stream',
    })
    expect(feed.asked[0]?.headers['last-event-id']).toBeUndefined()
  })

  test('grows stale with the clock, and each comment ends that', async () => {
    const { stalenessSeconds } = follow()
    const stream = await streamAt(0)
    stream.write(':\n\n')
    await waitUntil('a comment', async () => stalenessSeconds() === 0)
    time.now += 7000
    expect(stalenessSeconds()).toBe(7)
    stream.write(':\n\n')
    await waitUntil('a comment', async () => stalenessSeconds() === 0)
  })

  test('goes on from the last id after a break, and keeps each entry once when all is told again', async () => {
    const { isRevoked, entries } = follow()
    const first = await streamAt(0)
    first.write(eventOf(1, 'a') + eventOf(2, 'b'))
    await waitUntil('the entries', async () => entries().length === 2)
    first.destroy()
    const second = await streamAt(1)
    expect(feed.asked[1]?.headers['last-event-id']).toBe('2')
    second.write(eventOf(1, 'a') + eventOf(2, 'b') + eventOf(3, 'c'))
    await waitUntil('the entry', async () => isRevoked(tokenOf('c')))
    expect(entries().map(({ id }) => id)).toEqual(['1', '2', '3'])
    expect(logged().filter((line) => line['event'] === 'revocations.feed_failed')).toHaveLength(1)
  })

  test('starts over when the issuer takes the id away', async () => {
    const { entries } = follow()
    const first = await streamAt(0)
    first.write(eventOf(1, 'a') + 'id\ndata: x\n\n')
    await waitUntil('the entry', async () => entries().length === 1)
    first.end()
    await streamAt(1)
    expect(feed.asked[1]?.headers['last-event-id']).toBeUndefined()
  })

  test('takes a connection on which nothing comes for dead', async () => {
    const { stalenessSeconds } = follow(100)
    await streamAt(0)
    ;(await streamAt(1)).write(':\n\n')
    await waitUntil('a comment', async () => stalenessSeconds() === 0)
    const line = logged().find((each) => each['event'] === 'revocations.feed_failed')
    expect(line).toMatchObject({ err: { message: 'the issuer has said nothing for too long' } })
  })

  test('gets another token when its own is refused, or is about to end', async () => {
    feed.answer((res) => res.writeHead(401).end())
    lifetimeMs = 20_100
    follow()
    await waitUntil('another token', async () => issued.length > 2)
    feed.answer((res) => {
      res.writeHead(200, { 'content-type': 'text/event-stream' }).write(':\n\n')
      feed.streams.push(res)
    })
    await streamAt(1)
    expect(new Set(feed.asked.map(({ headers }) => headers.authorization)).size).toBe(
      feed.asked.length,
    )
  })

  test.each([
    ['an error', (res: ServerResponse) => res.writeHead(503).end()],
    ['a page', (res: ServerResponse) => res.writeHead(200, { 'content-type': 'text/html' }).end()],
    ['a redirect', (res: ServerResponse) => res.writeHead(302, { location: '/other' }).end()],
    [
      'an endless event',
      (res: ServerResponse) =>
        res
          .writeHead(200, { 'content-type': 'text/event-stream' })
          .write(`data: ${'x'.repeat(70_000)}`),
    ],
  ])('believes nothing of %s, says so once and tries again', async (_what, respond) => {
    feed.answer(respond)
    const { stalenessSeconds } = follow()
    await waitUntil('attempts', async () => feed.asked.length > 2)
    expect(feed.asked.every(({ url }) => url === '/revocations')).toBe(true)
    expect(stalenessSeconds()).toBe(Infinity)
    expect(logged().map((line) => line['event'])).toEqual(['revocations.feed_failed'])
    feed.answer((res) => res.writeHead(200, { 'content-type': 'text/event-stream' }).write(':\n\n'))
    await waitUntil('a comment', async () => stalenessSeconds() === 0)
    expect(logged().at(-1)).toMatchObject({ event: 'revocations.feed_back' })
  })

  test('hears what follows an entry that it does not understand', async () => {
    const { isRevoked, entries } = follow()
    const stream = await streamAt(0)
    stream.write('event: revocation\nid: 1\ndata: {"kind":"planet"}\n\n')
    stream.write(`event: other\nid: 2\ndata: {"kind":"jti","value":"x","exp":${NOW + 900}}\n\n`)
    stream.write('event: revocation\nid: 3\ndata: nothing\n\n')
    stream.write(eventOf(4, 'a'))
    await waitUntil('the entry', async () => isRevoked(tokenOf('a')))
    expect(entries()).toHaveLength(1)
  })
})
