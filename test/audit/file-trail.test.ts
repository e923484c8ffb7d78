import { spawnSync } from 'node:child_process'
import { appendFile, readFile, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { listAuditFiles } from '../../src/audit/audit-files.ts'
import { openFileTrail } from '../../src/audit/open-file-trail.ts'
import { createFileArchive } from '../../src/audit/search.ts'
import { callFacts, readAuditTexts, verifyLines } from '../support/audit-lines.ts'
import { createTestLog } from '../support/log-lines.ts'
import { useTempFolders } from '../support/temp-folders.ts'

const makeFolder = useTempFolders()
const CRASHING_TRAIL = fileURLToPath(new URL('../support/crashing-trail.ts', import.meta.url))
const DAY_MS = 86_400_000
const NOON = Date.parse('2026-01-31T12:00:00Z')

/** A folder with a clock, in which processes open trails one after the other or at once. */
function createPlace(retentionDays = 365) {
  const dir = join(makeFolder(), 'audit')
  const time = { now: NOON }
  const { log, lines: logged } = createTestLog()
  return {
    dir,
    time,
    logged,
    open: (role: 'issuer' | 'proxy' = 'proxy') =>
      openFileTrail({
        dir,
        role,
        retentionDays,
        onFailure: 'refuse',
        clock: () => time.now,
        log,
      }),
    /** One process: opens, records that many calls, closes. */
    async run(...requestIds: string[]) {
      const trail = await this.open()
      for (const id of requestIds) trail.record(callFacts(id))
      await trail.close()
    },
    lines: async () =>
      [...(await readAuditTexts(dir)).values()].flatMap((text) => text.split('\n').slice(0, -1)),
  }
}

const requestIdsIn = (lines: readonly string[]) =>
  lines.map((line) => (JSON.parse(line) as { request_id: string }).request_id)

test('a process goes on with the chain of the one before, in the same file', async () => {
  const place = createPlace()
  await place.run('a', 'b')
  await place.run('c')
  expect((await listAuditFiles(place.dir)).map(({ day }) => day)).toEqual(['2026-01-31'])
  const lines = await place.lines()
  expect(requestIdsIn(lines)).toEqual(['a', 'b', 'c'])
  expect(verifyLines(lines)).toMatchObject({ problems: [], writers: [{ records: 3 }] })
})

test('a day has a file of its own, which starts with the last hash of the one before', async () => {
  const place = createPlace()
  const trail = await place.open()
  trail.record(callFacts('a'))
  await trail.checkpoint()
  place.time.now += DAY_MS
  await trail.close()
  await place.run('b')
  place.time.now += DAY_MS
  await place.run('c')
  const texts = [...(await readAuditTexts(place.dir)).values()]
  expect(texts).toHaveLength(2)
  expect(verifyLines(await place.lines())).toMatchObject({
    problems: [],
    writers: [{ records: 3 }],
  })
})

test('processes at the same time have writers of their own, and each is taken up again', async () => {
  const place = createPlace()
  const trails = await Promise.all([place.open(), place.open(), place.open('issuer')])
  for (const trail of trails) trail.record(callFacts('x'))
  await Promise.all(trails.map((trail) => trail.close()))
  expect(verifyLines(await place.lines()).writers).toHaveLength(3)
  await place.run('y')
  expect(verifyLines(await place.lines())).toMatchObject({ problems: [], writers: [{}, {}, {}] })
})

test('what a killed process left of a line is taken away, said, and the chain goes on', async () => {
  const place = createPlace()
  await place.run('a', 'b', 'c')
  const [file] = await listAuditFiles(place.dir)
  const path = file?.path ?? ''
  const { length } = await readFile(path)
  await truncate(path, length - 20)
  place.logged.length = 0
  await place.run('d')
  expect(place.logged.join('')).toContain('"event":"audit.torn"')
  const lines = await place.lines()
  expect(requestIdsIn(lines)).toEqual(['a', 'b', 'd'])
  expect(verifyLines(lines).problems).toEqual([])
})

test('a process that ends of a bug leaves all of its records, also the first ones of a trail', async () => {
  const place = createPlace()
  for (const count of [100, 65]) {
    const args = [CRASHING_TRAIL, place.dir, String(count)]
    const { stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' })
    expect(stderr).toContain('a bug')
  }
  const lines = await place.lines()
  expect(verifyLines(lines)).toMatchObject({ problems: [], writers: [{ records: 165 }] })
})

test('a chain whose end was changed is left as it is, and another is begun', async () => {
  const place = createPlace()
  await place.run('a')
  const [file] = await listAuditFiles(place.dir)
  const path = file?.path ?? ''
  const changed = (await readFile(path, 'utf8')).replace('"allow"', '"deny"')
  await writeFile(path, changed)
  await place.run('b')
  expect(await readFile(path, 'utf8')).toBe(changed)
  expect(place.logged.join('')).toContain('"event":"audit.damaged"')
  const { writers, problems } = verifyLines(await place.lines())
  expect(writers).toHaveLength(2)
  expect(problems).toMatchObject([{ kind: 'changed', seq: 1 }])
})

test('files past the retention are deleted, and a writer of whom nothing is left does not go on', async () => {
  const place = createPlace(30)
  await place.run('old')
  const [old] = await listAuditFiles(place.dir)
  place.time.now += 20 * DAY_MS
  await place.run('kept')
  place.time.now += 11 * DAY_MS
  await place.run()
  expect(requestIdsIn(await place.lines())).toEqual(['kept'])
  place.time.now += 40 * DAY_MS
  await place.run('new')
  const [file] = await listAuditFiles(place.dir)
  expect(file?.writer).not.toBe(old?.writer)
  expect(verifyLines(await place.lines())).toMatchObject({
    problems: [],
    writers: [{ records: 1, first_seq: 1 }],
  })
})

test('a checkpoint says in the log what the last whole record is', async () => {
  const place = createPlace()
  await place.run('a', 'b')
  const [, last] = (await place.lines()).map((line) => JSON.parse(line) as Record<string, unknown>)
  const logged = place.logged.map((line) => JSON.parse(line) as Record<string, unknown>)
  expect(logged).toEqual([
    expect.objectContaining({
      event: 'audit.checkpoint',
      writer: last?.['writer'],
      seq: 2,
      hash: last?.['hash'],
    }),
  ])
})

test('a search finds what matches in pages of any size, and follows what comes later', async () => {
  const place = createPlace()
  const archive = createFileArchive(place.dir)
  await place.run('a', 'b', 'c')
  place.time.now += DAY_MS
  await place.run('d', 'e')
  const found: (string | undefined)[] = []
  let cursor: string | undefined
  do {
    const page = await archive.search({ client_id: 'robot' }, { limit: 2, cursor })
    found.push(...page.records.map((record) => record.request_id))
    cursor = page.next
  } while (cursor !== undefined)
  expect(found).toEqual(['a', 'b', 'c', 'd', 'e'])
  expect((await archive.search({ client_id: 'rob' }, { limit: 9 })).records).toEqual([])
  const second = { fromMs: NOON + 1000 }
  expect((await archive.search(second, { limit: 9 })).records).toHaveLength(2)

  const last = await archive.tail({}, 1)
  expect(last.records.map((record) => record.request_id)).toEqual(['e'])
  await place.run('f')
  const [file] = (await listAuditFiles(place.dir)).slice(-1)
  await appendFile(file?.path ?? '', '{"half":')
  const later = await archive.search({}, { limit: 9, cursor: last.next, follows: true })
  expect(later.records.map((record) => record.request_id)).toEqual(['f'])
  const none = await archive.search({}, { limit: 9, cursor: later.next, follows: true })
  expect(none.records).toEqual([])
})
