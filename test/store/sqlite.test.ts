import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { openSqliteStore } from '../../src/store/sqlite.ts'
import type { Change } from '../../src/store/store.ts'

const LISTED = { name: 'listed', layout: 'together' } as const
const SCATTERED = { name: 'scattered', layout: 'scattered' } as const
const JOURNAL = { name: 'revocations', retentionSeconds: 1860 }

let folder = ''
let path = ''
let now = 0
const open = () => openSqliteStore({ path, clock: () => now })

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'gatehouse-store-'))
  path = join(folder, 'data', 'gatehouse.db')
  now = Date.UTC(2026, 0, 1)
})
afterEach(() => rm(folder, { recursive: true }))

test('a record is there until the very millisecond at which it expires, and then as if it had never been', async () => {
  const store = await open()
  for (const collection of [LISTED, SCATTERED]) {
    await store.commit(collection, [expiring('a', 10)])
    now += 9999
    expect(await store.get(collection, 'a')).toBeDefined()
    now += 1
    expect(await store.get(collection, 'a')).toBeUndefined()
    await store.commit(collection, [{ ...expiring('a', 10), expect: 'absent' }])
  }
  now += 10_000
  expect((await store.list(LISTED, { limit: 10 })).records).toEqual([])
  await store.close()
})

test('expired records leave the file a few with each commit', async () => {
  const store = await open()
  for (let number = 0; number < 50; number += 1) {
    await store.commit(SCATTERED, [expiring(`old-${number}`, 10)])
  }
  now += 10_000
  await store.commit(LISTED, [expiring('new', 10)])
  await store.close()
  const database = new DatabaseSync(path)
  expect(database.prepare('select count(*) as count from record').get()?.['count']).toBe(31)
  database.close()
})

test('everything is there after the store was closed and opened again', async () => {
  let store = await open()
  const version = await store.commit(LISTED, [
    { kind: 'put', id: 'a', value: { b: 1 }, expect: 'absent', lifetime: 'permanent' },
  ])
  const id = await store.append(JOURNAL, 'entry')
  await store.close()
  store = await open()
  expect(await store.get(LISTED, 'a')).toEqual({ id: 'a', value: { b: 1 }, version })
  expect(await store.read(JOURNAL, { limit: 10 })).toEqual([{ id, value: 'entry' }])
  await store.close()
})

test('a journal drops what is older than its retention, and never gives an id again', async () => {
  let store = await open()
  const first = await store.append(JOURNAL, 'old')
  now += 1_859_999
  expect(await store.read(JOURNAL, { limit: 10 })).toHaveLength(1)
  now += 1
  expect(await store.read(JOURNAL, { limit: 10 })).toEqual([])
  await store.close()
  store = await open()
  const second = await store.append(JOURNAL, 'new')
  expect(Number(second)).toBeGreaterThan(Number(first))
  expect(await store.read(JOURNAL, { limit: 10 })).toEqual([{ id: second, value: 'new' }])
  await store.close()
})

test('an id beyond the last one, as after a restore, reads from the start', async () => {
  const store = await open()
  const id = await store.append(JOURNAL, 'entry')
  expect(await store.read(JOURNAL, { after: String(Number(id) + 1), limit: 10 })).toHaveLength(1)
  await store.close()
})

test('followers end when the store is closed', async () => {
  const store = await open()
  const { signal } = new AbortController()
  let batches = 0
  for await (const _ of store.follow(JOURNAL, { signal, heartbeatMs: 30_000 })) {
    batches += 1
    queueMicrotask(() => void store.close())
  }
  expect(batches).toBe(1)
})

test('the file is for its owner alone', async () => {
  const store = await open()
  await store.commit(LISTED, [expiring('a', 10)])
  for (const file of [path, `${path}-wal`]) expect((await stat(file)).mode & 0o777).toBe(0o600)
  expect((await stat(join(folder, 'data'))).mode & 0o777).toBe(0o700)
  await store.close()
})

test('a file of a newer Gatehouse is refused, unchanged, with a hint', async () => {
  await (await open()).close()
  const database = new DatabaseSync(path)
  database.exec('insert into schema_version (version, applied_at) values (99, 0)')
  database.close()
  await expect(open()).rejects.toMatchObject({
    name: 'ConfigError',
    problems: [expect.stringContaining('has schema version 99')],
    hint: expect.stringContaining('newer Gatehouse'),
  })
})

test('a database of another program and a file that is none are refused', async () => {
  path = join(folder, 'other.db')
  const database = new DatabaseSync(path)
  database.exec('create table theirs (a)')
  database.close()
  await expect(open()).rejects.toThrow('another program')
  path = join(folder, 'notes.txt')
  await writeFile(path, 'not a database at all, but long enough to have a header'.repeat(100))
  await expect(open()).rejects.toThrow('not a SQLite database')
})

test('a folder that cannot be written to is a ConfigError', async () => {
  await writeFile(join(folder, 'file'), '')
  path = join(folder, 'file', 'gatehouse.db')
  await expect(open()).rejects.toMatchObject({ name: 'ConfigError' })
})

function expiring(id: string, ttlSeconds: number): Extract<Change, { kind: 'put' }> {
  return { kind: 'put', id, value: 1, expect: 'any', lifetime: { ttlSeconds } }
}
