import { randomUUID } from 'node:crypto'
import { expect, test } from 'vitest'
import {
  ConflictError,
  type Change,
  type ListedCollection,
  type ScatteredCollection,
  type Store,
} from '../../src/store/store.ts'
import type { Subject } from './store-contract.ts'

export const createCollection = (): ListedCollection => ({
  name: `listed/${randomUUID()}`,
  layout: 'together',
})

const createScattered = (): ScatteredCollection => ({
  name: `scattered/${randomUUID()}`,
  layout: 'scattered',
})

const put = (id: string, value: unknown, expect: Change['expect'] = 'any'): Change => ({
  kind: 'put',
  id,
  value,
  expect,
  lifetime: 'permanent',
})

/** What records promise, one example at a time. */
export function describeRecords(subject: Subject): void {
  test('a record comes back as it was put, under the version that the commit gave', async () => {
    const { store, peer } = subject()
    const value = { name: 'Zoë 水', nested: [1, 2.5, null, true, { empty: {} }], text: '' }
    for (const collection of [createCollection(), createScattered()]) {
      const version = await store.commit(collection, [put('a', value)])
      expect(await peer.get(collection, 'a')).toEqual({ id: 'a', value, version })
      expect(await store.get(collection, 'b')).toBeUndefined()
      const next = await store.commit(collection, [put('a', 'else')])
      expect(next).not.toBe(version)
      expect(await store.get(collection, 'a')).toEqual({ id: 'a', value: 'else', version: next })
    }
  })

  test('what is expected absent is put once, and twenty at a time have one winner', async () => {
    const { store, peer } = subject()
    for (const collection of [createCollection(), createScattered()]) {
      const racers = Array.from({ length: 20 }, (_, racer) =>
        (racer % 2 === 0 ? store : peer).commit(collection, [put('jti', racer, 'absent')]),
      )
      const outcomes = await Promise.allSettled(racers)
      const winners = outcomes.flatMap(({ status }, racer) =>
        status === 'fulfilled' ? [racer] : [],
      )
      expect(winners).toHaveLength(1)
      expect((await store.get(collection, 'jti'))?.value).toBe(winners[0])
      const losers = outcomes.flatMap((outcome): unknown[] =>
        outcome.status === 'rejected' ? [outcome.reason] : [],
      )
      expect(losers.every((reason) => reason instanceof ConflictError)).toBe(true)
    }
  })

  test('a stale version loses, also when the record was deleted and made anew since', async () => {
    const { store } = subject()
    const collection = createCollection()
    const stale = { version: await store.commit(collection, [put('a', 1)]) }
    await store.commit(collection, [{ kind: 'delete', id: 'a', expect: stale }])
    await expectConflict(store, collection, [put('a', 2, stale)])
    await store.commit(collection, [put('a', 1, 'absent')])
    await expectConflict(store, collection, [put('a', 2, stale)])
    await expectConflict(store, collection, [{ kind: 'delete', id: 'a', expect: stale }])
    await expectConflict(store, collection, [put('a', 2, { version: '*' })])
    await expectConflict(store, collection, [put('a', 2, { version: '' })])
    expect((await store.get(collection, 'a'))?.value).toBe(1)
  })

  test('a commit makes every change or none, and the conflict names the record', async () => {
    const { store } = subject()
    const collection = createCollection()
    await store.commit(collection, [put('username/alice', 'u1'), put('user/u1', {})])
    const second = [put('user/u2', {}, 'absent'), put('username/alice', 'u2', 'absent')]
    const conflict = await store.commit(collection, second).catch((error: unknown) => error)
    expect(conflict).toMatchObject({ collection: collection.name, id: 'username/alice' })
    expect(await store.get(collection, 'user/u2')).toBeUndefined()

    const version = await store.commit(collection, [
      put('user/u2', {}, 'absent'),
      put('username/bob', 'u2', 'absent'),
      { kind: 'delete', id: 'user/u1', expect: 'any' },
      { kind: 'delete', id: 'never-there', expect: 'any' },
    ])
    expect((await store.get(collection, 'user/u2'))?.version).toBe(version)
    expect((await store.get(collection, 'username/bob'))?.version).toBe(version)
    expect(await store.get(collection, 'user/u1')).toBeUndefined()
  })

  test('a check must hold and changes nothing', async () => {
    const { store } = subject()
    const collection = createCollection()
    const version = await store.commit(collection, [put('tenant', 'active')])
    const client = put('client', {}, 'absent')
    const check: Change = { kind: 'check', id: 'tenant', expect: { version } }
    await store.commit(collection, [check, client])
    expect(await store.get(collection, 'tenant')).toMatchObject({ version, value: 'active' })
    await store.commit(collection, [put('tenant', 'suspended')])
    await expectConflict(store, collection, [check, put('client', { changed: true })])
    expect((await store.get(collection, 'client'))?.value).toEqual({})
  })

  test('what makes no sense as a commit is a TypeError and changes nothing', async () => {
    const { store } = subject()
    const collection = createCollection()
    const senseless: Change[][] = [
      [],
      [put('a', 1), put('a', 2)],
      [put('', 1)],
      [put('\ud800', 1)],
      [put('a', undefined)],
      ...[0, -1, Number.NaN, Infinity].map((ttlSeconds): Change[] => [
        { kind: 'put', id: 'a', value: 1, expect: 'any', lifetime: { ttlSeconds } },
      ]),
    ]
    for (const changes of senseless) {
      await expect(store.commit(collection, changes)).rejects.toBeInstanceOf(TypeError)
    }
    const pair = [put('a', 1), put('b', 1)]
    await expect(store.commit(createScattered(), pair)).rejects.toBeInstanceOf(TypeError)
    const named = { name: 'a{b}', layout: 'together' } as const
    await expect(store.commit(named, [put('a', 1)])).rejects.toBeInstanceOf(TypeError)
    expect((await store.list(collection, { limit: 10 })).records).toEqual([])
    expect(await store.get(collection, '')).toBeUndefined()
    expect(await store.get(collection, '\ud800')).toBeUndefined()
  })

  test('the layouts and names of collections never mix', async () => {
    const { store } = subject()
    const listed = createCollection()
    const scattered = { name: listed.name, layout: 'scattered' } as const
    const longer = { name: `${listed.name}/a`, layout: 'together' } as const
    await store.commit(listed, [put('a', 'listed')])
    await store.commit(scattered, [put('a', 'scattered')])
    await store.commit(longer, [put('a', 'longer')])
    expect((await store.get(listed, 'a'))?.value).toBe('listed')
    expect((await store.get(scattered, 'a'))?.value).toBe('scattered')
    expect((await store.list(listed, { limit: 10 })).records).toHaveLength(1)
  })

  test('a cursor of any kind never leads out of the prefix', async () => {
    const { store } = subject()
    const collection = createCollection()
    const ids = ['tenant-a/1', 'tenant-b/1', 'tenant-b/2', 'tenant-b/é', 'tenant-c/1']
    await store.commit(
      collection,
      ids.map((id) => put(id, id)),
    )
    const idsAfter = async (after: string) => {
      const page = await store.list(collection, { prefix: 'tenant-b/', after, limit: 10 })
      return page.records.map(({ id }) => id)
    }
    expect(await idsAfter('')).toEqual(['tenant-b/1', 'tenant-b/2', 'tenant-b/é'])
    expect(await idsAfter('tenant-a/1')).toEqual(['tenant-b/1', 'tenant-b/2', 'tenant-b/é'])
    expect(await idsAfter('tenant-b/1')).toEqual(['tenant-b/2', 'tenant-b/é'])
    expect(await idsAfter('tenant-b/10')).toEqual(['tenant-b/2', 'tenant-b/é'])
    expect(await idsAfter('tenant-c')).toEqual([])
    expect(await idsAfter('\u{10FFFF}')).toEqual([])
  })

  test('a record stays as long as its put says, and a permanent one for good', async () => {
    const { store, remainingMs } = subject()
    const collection = createCollection()
    const brief: Change = {
      kind: 'put',
      id: 'brief',
      value: 1,
      expect: 'any',
      lifetime: { ttlSeconds: 90 },
    }
    await store.commit(collection, [brief, put('kept', 1)])
    expect(await remainingMs(collection.name, 'brief')).toBeGreaterThan(60_000)
    expect(await remainingMs(collection.name, 'brief')).toBeLessThanOrEqual(90_000)
    expect(await remainingMs(collection.name, 'kept')).toBe('permanent')
    await store.commit(collection, [
      put('brief', 2),
      { ...brief, id: 'kept', lifetime: { ttlSeconds: 0.5 } },
    ])
    expect(await remainingMs(collection.name, 'brief')).toBe('permanent')
    expect(await remainingMs(collection.name, 'kept')).toBeLessThanOrEqual(500)
  })

  test('status tells version, size and latency', async () => {
    const status = await subject().store.status()
    expect(status.version).toMatch(/^\d+\.\d+\.\d+$/)
    expect(status.sizeBytes).toBeGreaterThan(0)
    expect(status.latencyMs).toBeGreaterThanOrEqual(0)
  })
}

async function expectConflict(
  store: Store,
  collection: ListedCollection,
  changes: readonly Change[],
): Promise<void> {
  await expect(store.commit(collection, changes)).rejects.toBeInstanceOf(ConflictError)
}
