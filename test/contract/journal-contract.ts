import { randomUUID } from 'node:crypto'
import { setImmediate } from 'node:timers/promises'
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { AppError } from '../../src/kernel/errors.ts'
import type { Journal, JournalEntry, ReadQuery, Store } from '../../src/store/store.ts'
import type { Subject } from './store-contract.ts'

const HEARTBEAT_MS = 50

const createJournal = (): Journal => ({
  name: `journal/${randomUUID()}`,
  retentionSeconds: 1860,
})

/** What journals promise. */
export function describeJournals(subject: Subject): void {
  test('reading from the start gives the whole truth, in pages of any size', async () => {
    const { store, peer } = subject()
    const values = fc.array(fc.jsonValue(), { maxLength: 12 })
    await fc.assert(
      fc.asyncProperty(values, fc.integer({ min: 1, max: 5 }), async (values, limit) => {
        const journal = createJournal()
        const written: JournalEntry[] = []
        for (const value of values) {
          // What JSON makes of it: -0 is 0.
          const json: unknown = JSON.parse(JSON.stringify(value))
          written.push({ id: await store.append(journal, value), value: json })
        }
        const seen: JournalEntry[] = []
        let page: readonly JournalEntry[]
        do {
          page = await peer.read(journal, { after: seen.at(-1)?.id, limit })
          seen.push(...page)
        } while (page.length > 0)
        expect(seen).toEqual(written)
      }),
      { numRuns: 15 },
    )
  })

  test('an id that is not ours reads from the start', async () => {
    const { store } = subject()
    const journal = createJournal()
    const id = await store.append(journal, 'only')
    expect(await store.read(journal, { after: id, limit: 5 })).toEqual([])
    for (const after of ['', 'x', '-', '$', '+', '1e3', "1' or 1", '\ud800', '9'.repeat(40)]) {
      expect(await store.read(journal, { after, limit: 5 })).toEqual([{ id, value: 'only' }])
    }
  })

  test('what was appended before a time is passed over', async () => {
    const { store, peer, later } = subject()
    const journal = createJournal()
    const old = await store.append(journal, 'old')
    const sinceMs = await later()
    const first = await store.append(journal, 'first')
    await store.append(journal, 'second')
    const read = async (query: Omit<ReadQuery, 'limit'>, limit = 5) =>
      (await peer.read(journal, { ...query, limit })).map(({ value }) => value)
    expect(await read({ sinceMs })).toEqual(['first', 'second'])
    expect(await read({ sinceMs }, 1)).toEqual(['first'])
    expect(await read({ sinceMs, after: old })).toEqual(['first', 'second'])
    expect(await read({ sinceMs, after: first })).toEqual(['second'])
    expect(await read({ sinceMs: sinceMs - 60_000 })).toEqual(['old', 'first', 'second'])
    expect(await read({ sinceMs: sinceMs + 60_000 })).toEqual([])
  })

  test('journals do not see each other', async () => {
    const { store } = subject()
    const [one, other] = [createJournal(), createJournal()]
    await store.append(one, 1)
    expect(await store.read(other, { limit: 5 })).toEqual([])
  })

  test('many entries are added in their order, and the last ones can be read', async () => {
    const { store, peer } = subject()
    const journal = createJournal()
    const values = Array.from({ length: 300 }, (_, number) => number)
    await store.append(journal, 'first')
    await store.appendAll(journal, values)
    await store.appendAll(journal, [])
    const read = await peer.read(journal, { limit: 1000 })
    expect(read.map(({ value }) => value)).toEqual(['first', ...values])
    expect(await peer.readLast(journal, 3)).toEqual(read.slice(-3))
    expect(await peer.readLast(createJournal(), 3)).toEqual([])
  })

  test('a journal with a bound keeps that many of the newest entries', async () => {
    const { store } = subject()
    const journal = { ...createJournal(), maxEntries: 5 }
    await store.appendAll(journal, [1, 2, 3, 4])
    await store.appendAll(journal, [5, 6, 7])
    await store.append(journal, 8)
    const kept = await store.read(journal, { limit: 100 })
    expect(kept.map(({ value }) => value)).toEqual([4, 5, 6, 7, 8])
  })

  test('a follower first sees what was there, then hears that this is all, then each new entry', async () => {
    const { store, peer } = subject()
    const journal = createJournal()
    const ids = [await store.append(journal, 0), await store.append(journal, 1)]
    const abort = new AbortController()
    const batches: unknown[] = []
    for await (const batch of peer.follow(journal, { signal: abort.signal, heartbeatMs: 30_000 })) {
      batches.push(batch.map(({ value }) => value))
      if (batches.length === 2) ids.push(await store.append(journal, 2))
      if (batch.some(({ value }) => value === 2)) abort.abort()
    }
    expect(batches).toEqual([[0, 1], [], [2]])
    expect(new Set(ids).size).toBe(3)
  })

  test('a follower can go on from any id', async () => {
    const { store } = subject()
    const journal = createJournal()
    const after = await store.append(journal, 0)
    await store.append(journal, 1)
    const seen = await followUntil(store, journal, { after, count: 1 })
    expect(seen.map(({ value }) => value)).toEqual([1])
  })

  test('a quiet journal beats, and its follower ends at once when told to', async () => {
    const { store } = subject()
    const abort = new AbortController()
    const query = { signal: abort.signal, heartbeatMs: HEARTBEAT_MS }
    let beats = 0
    for await (const batch of store.follow(createJournal(), query)) {
      expect(batch).toEqual([])
      beats += 1
      if (beats === 3) abort.abort()
    }
    expect(beats).toBe(3)

    const waiting = new AbortController()
    const follower = store.follow(createJournal(), { signal: waiting.signal, heartbeatMs: 30_000 })
    const iterator = follower[Symbol.asyncIterator]()
    await iterator.next()
    const end = iterator.next()
    waiting.abort()
    expect((await end).done).toBe(true)
  })

  test('a follower sees every append once and in order, also when every connection breaks meanwhile', async () => {
    const { store, peer, interrupt } = subject()
    const journal = createJournal()
    const count = 60
    const following = followUntil(peer, journal, { count })
    const acknowledged: string[] = []
    for (let number = 0; number < count; number += 1) {
      acknowledged.push(await appendSurely(store, journal, number))
      if (number % 20 === 10) await interrupt()
    }
    const seen = await following
    const ids = seen.map(({ id }) => id)
    expect(new Set(ids).size).toBe(ids.length)
    expect((await store.read(journal, { limit: 1000 })).slice(0, ids.length)).toEqual(seen)
    expect(ids).toEqual(expect.arrayContaining(acknowledged))
  })

  test('of many appends at once every one is followed, in the order in which it can be read', async () => {
    const { store, peer } = subject()
    const journal = createJournal()
    const following = followUntil(peer, journal, { count: 100 })
    await Promise.all(
      Array.from({ length: 100 }, (_, number) =>
        (number % 2 === 0 ? store : peer).append(journal, number),
      ),
    )
    expect(await following).toEqual(await store.read(journal, { limit: 200 }))
  })
}

/** Follows until it has seen `count` different values. */
async function followUntil(
  store: Store,
  journal: Journal,
  { after, count }: { after?: string; count: number },
): Promise<JournalEntry[]> {
  const abort = new AbortController()
  const seen: JournalEntry[] = []
  const query = { after, signal: abort.signal, heartbeatMs: HEARTBEAT_MS }
  for await (const batch of store.follow(journal, query)) {
    seen.push(...batch)
    if (new Set(seen.map(({ value }) => value)).size >= count) abort.abort()
  }
  return seen
}

/** Appends until it is acknowledged. An append that failed may be there as well. */
async function appendSurely(store: Store, journal: Journal, value: unknown): Promise<string> {
  for (;;) {
    try {
      return await store.append(journal, value)
    } catch (error) {
      if (!(error instanceof AppError)) throw error
      // A failure may come at once, and the event loop must turn for the connection to come back.
      await setImmediate()
    }
  }
}
