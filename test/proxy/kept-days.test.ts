import { mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { beforeEach, expect, onTestFinished, test } from 'vitest'
import { createLog } from '../../src/kernel/log.ts'
import { keepDays } from '../../src/proxy/kept-days.ts'
import { createMemoryCounters } from '../../src/store/memory-counters.ts'
import { freshAccounts } from '../contract/counters-contract.ts'

const NOW = Date.UTC(2031, 4, 17, 12)
const events: string[] = []
const log = createLog('info', {
  write: (line) => void events.push(/"event":"([^"]+)"/.exec(line())?.[1] ?? ''),
})

let path: string
beforeEach(async () => {
  events.splice(0)
  const dir = await mkdtemp(join(tmpdir(), 'gatehouse-limits-'))
  onTestFinished(() => rm(dir, { recursive: true }))
  path = join(dir, 'data', 'limits.json')
})

/** One process after the other. */
const start = (now = NOW) =>
  keepDays(
    path,
    createMemoryCounters(() => now),
    log,
  )
const served = { tokens: 40, wasServed: true, enteredAtMs: NOW }

test('a daily budget goes on after a restart, and ends with its day', async () => {
  const of = freshAccounts({ daily_requests: 2, daily_tokens: 100 }, { daily_requests: 9, rpm: 1 })
  const first = await start()
  await first.enter(of, 'one')
  await first.leave(of, 'one', served)
  await first.close()
  expect((await stat(path)).mode & 0o777).toBe(0o600)

  const second = await start()
  expect((await second.read(of)).balances).toMatchObject([
    { dayRequests: 1, dayTokens: 40 },
    { dayRequests: 1, minuteRequests: 0 },
  ])
  expect(await second.enter(of, 'two')).toMatchObject({ isLetIn: true })
  await second.close()

  const third = await start()
  expect(await third.enter(of, 'three')).toMatchObject({ isLetIn: false })
  await third.close()
  const tomorrow = await start(NOW + 86_400_000)
  expect(await tomorrow.enter(of, 'four')).toMatchObject({
    isLetIn: true,
    balances: [{ dayRequests: 1, dayTokens: 0, reservedTokens: 40 }, {}],
  })
  await tomorrow.close()
  expect(events).toEqual([])
})

test('a file of before the mean was kept is read', async () => {
  const of = freshAccounts({ daily_requests: 1 })
  await (await start()).close()
  const day = { day: Math.floor(NOW / 86_400_000), requests: 1, tokens: 0, settled: 0 }
  await mkdir(join(path, '..'), { recursive: true })
  const days = [[of.accounts[0]?.id, day]]
  await writeFile(path, JSON.stringify({ version: 1, days }), { mode: 0o600 })
  const counters = await start()
  expect(await counters.enter(of, 'two')).toMatchObject({ isLetIn: false })
  await counters.close()
  expect(events).toEqual([])
})

test('what counts nothing by the day is not written', async () => {
  const counters = await start()
  await counters.enter(freshAccounts({ rpm: 1, concurrency: 1 }), 'one')
  await counters.close()
  await expect(stat(path)).rejects.toThrow('ENOENT')
})

test.each([
  '',
  '{"version":1,"days":[["a",{"day":',
  '{"version":2}',
  '{"version":1,"days":[["a",{}]]}',
])('a file that cannot be read costs a warning and begins anew: %j', async (text) => {
  const of = freshAccounts({ daily_requests: 1 })
  await (await start()).close()
  const once = await start()
  await once.enter(of, 'one')
  await once.close()
  await writeFile(path, text)
  const counters = await start()
  expect(events).toEqual(['limits.forgotten'])
  expect(await counters.enter(of, 'two')).toMatchObject({ isLetIn: true })
  await counters.close()
  expect(JSON.parse(await readFile(path, 'utf8'))).toMatchObject({ version: 1 })
})

test('a folder that cannot be written is said once, and callers are limited all the same', async () => {
  await writeFile(join(path, '..', '..', 'data'), 'a file in the place of the folder')
  const of = freshAccounts({ daily_requests: 1 })
  const counters = await start()
  await counters.enter(of, 'one')
  expect(await counters.enter(of, 'two')).toMatchObject({ isLetIn: false })
  await counters.leave(of, 'one', served)
  await counters.close()
  expect(events).toEqual(['limits.forgotten', 'limits.unkept'])
})
