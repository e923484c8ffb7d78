import * as fc from 'fast-check'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { describe, expect, onTestFinished, test } from 'vitest'
import { createRevocationFeed } from '../../src/issuer/revocation-feed.ts'
import { AppError } from '../../src/kernel/errors.ts'
import { sendProblem } from '../../src/kernel/problem.ts'
import {
  createLiveRevocations,
  type FedRevocations,
  type LoggedRevocation,
} from '../../src/revocations/live-revocations.ts'
import type { Revocation } from '../../src/revocations/revocation.ts'
import type { AccessToken } from '../../src/tokens/access-token.ts'
import { readEvents } from '../support/event-reader.ts'
import { createTestLog } from '../support/log-lines.ts'
import { openRawConnection } from '../support/raw-connection.ts'
import { waitUntil } from '../support/wait-until.ts'

const START = 1_700_000_000
const token: AccessToken = {
  kid: 'k',
  jti: 'reader-token',
  subject: 'reader',
  clientId: 'reader',
  audiences: ['https://issuer.example'],
  tenantId: 'default',
  scopes: ['revocations:read'],
  limits: {},
  issuedAt: START,
  expiresAt: START + 900,
  confirmation: undefined,
}

let nextId = 0
const logged = (entry: Partial<Revocation> = {}): LoggedRevocation => {
  nextId += 1
  return {
    id: String(nextId),
    entry: { kind: 'jti', value: `j${nextId}`, exp: START + 900, ...entry },
  }
}
const many = (count: number, entry?: Partial<Revocation>) =>
  Array.from({ length: count }, () => logged(entry))

/** The feed on a port of its own, fed by the test, or by another feed's log; `clock` counts how often it was asked. */
async function startFeed({
  heartbeatMs = 60_000,
  of,
}: { heartbeatMs?: number; of?: FedRevocations } = {}) {
  const time = { now: START * 1000, asked: 0 }
  const clock = () => {
    time.asked += 1
    return time.now
  }
  const live = of ?? createLiveRevocations(clock)
  const { log, lines } = createTestLog()
  const authenticate = async () => token
  const feed = createRevocationFeed({ live, authenticate, clock, log, heartbeatMs })
  const server = createServer((req, res) => {
    feed.route.serve(req, res, 'request-1').catch((error: unknown) => {
      if (!(error instanceof AppError)) throw error
      sendProblem(res, error, 'request-1')
    })
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  onTestFinished(async () => {
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  })
  const url = `http://127.0.0.1:${port}/revocations`
  const read = (lastEventId?: string) =>
    readEvents(url, lastEventId === undefined ? {} : { 'last-event-id': lastEventId })
  return { live, time, feed, url, port, read, lines }
}

const idsOf = (entries: readonly { id: string }[]) => entries.map(({ id }) => id)

describe('a reader', () => {
  test('gets all that still matters, the word that this is all, and then each entry as it is heard', async () => {
    const { live, read } = await startFeed()
    const before = [
      logged(),
      logged({ kind: 'client', value: 'c "q"\n', issued_before: START, exp: START + 1800 }),
    ]
    live.receive(before)
    live.markComplete()
    const reader = await read()
    await reader.until('the comment', () => reader.comments() === 1)
    const sent = before.map(
      ({ id, entry }) => `event: revocation\nid: ${id}\ndata: ${JSON.stringify(entry)}\n\n`,
    )
    expect(reader.text()).toBe(`${sent.join('')}:\n\n`)
    const after = logged()
    live.receive([after])
    await reader.until('the new entry', () => reader.events().length === 3)
    expect(reader.events().at(-1)).toEqual({ id: after.id, data: after.entry })
    expect(Object.fromEntries(reader.response.headers)).toMatchObject({
      'content-type': 'text/event-stream',
      'cache-control': 'no-store',
      'x-request-id': 'request-1',
    })
  })

  test('is spared what nobody needs any more', async () => {
    const { live, time, read } = await startFeed()
    live.receive([logged({ exp: START - 30 })])
    const kept = logged({ exp: START + 700 })
    live.receive([kept])
    time.now += 600_000
    live.markComplete()
    const reader = await read()
    await reader.until('the comment', () => reader.comments() === 1)
    expect(idsOf(reader.events())).toEqual([kept.id])
  })

  test('always gets every entry exactly once over any number of broken connections', async () => {
    const { live, read } = await startFeed()
    live.markComplete()
    const entries = many(30)
    live.receive(entries)
    await fc.assert(
      fc.asyncProperty(fc.array(fc.nat(30), { maxLength: 4 }), async (cuts) => {
        const seen: string[] = []
        for (const cut of [...cuts, 30].sort((a, b) => a - b)) {
          const reader = await read(seen.at(-1))
          const wanted = cut - seen.length
          await reader.until('its part', () => reader.events().length >= wanted)
          seen.push(...idsOf(reader.events().slice(0, wanted)))
          reader.leave()
        }
        expect(seen).toEqual(idsOf(entries))
      }),
      { numRuns: 15 },
    )
  })

  test.each(['nonsense', '-1', '999999999'])('with the id %s begins anew', async (id) => {
    const { live, read } = await startFeed()
    const entries = many(3)
    live.receive(entries)
    live.markComplete()
    const reader = await read(id)
    await reader.until('the comment', () => reader.comments() === 1)
    expect(idsOf(reader.events())).toEqual(idsOf(entries))
  })

  test('hears a comment with every beat, and none while the issuer has lost touch with the log', async () => {
    const { live, time, read } = await startFeed({ heartbeatMs: 10 })
    live.markComplete()
    const reader = await read()
    await reader.until('some comments', () => reader.comments() >= 3)
    time.now += 5_001
    const askedBefore = time.asked
    await reader.until('a beat in silence', () => time.asked > askedBefore + 1)
    const silent = reader.comments()
    await reader.until('more beats', () => time.asked > askedBefore + 20)
    expect(reader.comments()).toBe(silent)
    live.markComplete()
    await reader.until('a comment', () => reader.comments() > silent)
  })
})

describe('a stream ends', () => {
  test('with the entry that revokes its own token', async () => {
    const { live, read } = await startFeed()
    live.markComplete()
    const reader = await read()
    const entry = logged({ kind: 'client', value: 'reader', issued_before: START })
    live.receive([entry])
    await reader.until('the end', reader.hasEnded)
    expect(idsOf(reader.events())).toEqual([entry.id])
  })

  test('when its token expires', async () => {
    const { live, time, read, lines } = await startFeed({ heartbeatMs: 10 })
    live.markComplete()
    const reader = await read()
    await reader.until('a comment', () => reader.comments() > 0)
    time.now += 930_000
    await reader.until('the end', reader.hasEnded)
    await reader.until('its line', () => lines.join().includes('revocations.left'))
    expect(reader.events()).toEqual([])
  })

  test('when the issuer shuts down, and no other begins', async () => {
    const { live, feed, read, url } = await startFeed()
    live.markComplete()
    const readers = await Promise.all([read(), read()])
    feed.close()
    for (const reader of readers) await reader.until('the end', reader.hasEnded)
    expect((await fetch(url)).status).toBe(503)
  })

  test('for a reader that takes nothing for three beats, who then misses nothing', async () => {
    const { live, port, lines } = await startFeed({ heartbeatMs: 50 })
    live.markComplete()
    live.receive(many(8_000, { value: 'x'.repeat(2000) }))
    const slow = await openRawConnection(port)
    slow.socket.pause()
    slow.send('GET /revocations HTTP/1.1\r\nhost: h\r\n\r\n')
    await waitUntil('the cut', async () => lines.join().includes('revocations.left'))
    slow.socket.resume()
    const ids = [...(await slow.ends()).matchAll(/\nid: (\d+)\ndata: .+\n\n/g)].map(([, id]) => id)
    expect(ids.length).toBeLessThan(8_000)
    // Another feed of the same log, whose beats do not cut who is slow on a busy machine.
    const { read } = await startFeed({ of: live })
    const again = await read(ids.at(-1))
    await again.until('the comment', () => again.text().endsWith(':\n\n'))
    expect(idsOf(again.events())).toEqual(idsOf(live.entries()).slice(ids.length))
  })

  test('for a reader that falls 10,000 entries behind, at once', async () => {
    const { live, port, lines } = await startFeed()
    live.markComplete()
    live.receive(many(8_000, { value: 'x'.repeat(2000) }))
    const slow = await openRawConnection(port)
    slow.socket.pause()
    slow.send('GET /revocations HTTP/1.1\r\nhost: h\r\n\r\n')
    await waitUntil('the slow one', async () => lines.join().includes('revocations.followed'))
    live.receive(many(10_000))
    expect(lines.join()).not.toContain('revocations.left')
    live.receive(many(8_000))
    await waitUntil('the cut', async () => lines.join().includes('revocations.left'))
    slow.socket.destroy()
  })
})

test('before the whole log was seen once there is no feed, but 503 and when to ask again', async () => {
  const { url } = await startFeed()
  const response = await fetch(url)
  expect(response.status).toBe(503)
  expect(response.headers.get('retry-after')).toBe('1')
})
