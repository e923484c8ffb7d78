import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { openAuthenticatedFile } from '../../src/kernel/authenticated-file.ts'
import { keepRevocations } from '../../src/revocations/kept-revocations.ts'
import { createLiveRevocations } from '../../src/revocations/live-revocations.ts'
import { createTestLog } from '../support/log-lines.ts'
import { useTempFolders } from '../support/temp-folders.ts'
import { waitUntil } from '../support/wait-until.ts'

const newFolder = useTempFolders()
const NOW = 1_700_000_000_000
const SECONDS = NOW / 1000
const tokenOf = (jti: string) => ({
  jti,
  clientId: 'c',
  subject: 's',
  tenantId: 't',
  kid: 'k',
  issuedAt: SECONDS,
})
const entryOf = (jti: string) => ({
  id: `id-${jti}`,
  entry: { kind: 'jti', value: jti, exp: SECONDS + 900 } as const,
})

/** A process that follows the log and keeps it in that file. */
async function startKeeping(path: string, nowMs: number) {
  const time = { now: nowMs }
  const clock = () => time.now
  const { log, lines } = createTestLog()
  const file = openAuthenticatedFile({ path, key: Buffer.alloc(32, 1), purpose: ['revocations'] })
  const live = createLiveRevocations(clock)
  const options = { clock, log, intervalMs: 6000, pauseMs: 1 }
  const { close } = await keepRevocations(file, live, options)
  const reasons = () => lines.map((line) => (JSON.parse(line) as { reason?: string }).reason)
  return { live, time, close, reasons }
}

async function keepOne(path: string): Promise<void> {
  const { live, close } = await startKeeping(path, NOW)
  live.receive([entryOf('a')])
  live.markComplete()
  await close()
}

test('who has not heard the log for half an hour may have missed what it has forgotten since, also after a restart', async () => {
  const path = join(newFolder(), 'r.json')
  const HALF_AN_HOUR = 1_800_000
  const first = await startKeeping(path, NOW)
  expect(first.live.missedUntilMs()).toBe(-Infinity)
  first.live.markComplete()
  expect(first.live.missedUntilMs()).toBe(NOW - HALF_AN_HOUR)
  await first.close()
  const second = await startKeeping(path, NOW + HALF_AN_HOUR)
  second.live.markComplete()
  expect(second.live.missedUntilMs()).toBe(NOW - HALF_AN_HOUR)
  second.time.now += HALF_AN_HOUR + 1
  second.live.markComplete()
  expect(second.live.missedUntilMs()).toBe(NOW + HALF_AN_HOUR + 1)
  await second.close()
  const third = await startKeeping(path, second.time.now)
  expect(third.live.missedUntilMs()).toBe(NOW + HALF_AN_HOUR + 1)
  await third.close()
})

describe('a revocation view that is kept on disk', () => {
  test('is known to the next process, as old as it is', async () => {
    const path = join(newFolder(), 'r.json')
    await keepOne(path)
    const { live, close } = await startKeeping(path, NOW + 50_000)
    expect(live.isRevoked(tokenOf('a'))).toBe(true)
    expect(live.isRevoked(tokenOf('b'))).toBe(false)
    expect(live.stalenessSeconds()).toBe(50)
    await close()
    const next = await startKeeping(path, NOW + 70_000)
    expect(next.live.stalenessSeconds()).toBe(70)
    await next.close()
  })

  test('is written after each change, without waiting for the end of the process', async () => {
    const path = join(newFolder(), 'r.json')
    const first = await startKeeping(path, NOW)
    first.live.markComplete()
    first.live.receive([entryOf('a')])
    await waitUntil('the first', async () => readFileSync(path, 'utf8').includes('id-a'))
    first.live.receive([entryOf('b')])
    await waitUntil('the second', async () => readFileSync(path, 'utf8').includes('id-b'))
    const { live, close } = await startKeeping(path, NOW)
    expect(live.isRevoked(tokenOf('b'))).toBe(true)
    await Promise.all([first.close(), close()])
  })

  test('is written now and then while nothing is revoked, so that its age is that of the last word', async () => {
    const path = join(newFolder(), 'r.json')
    const first = await startKeeping(path, NOW)
    first.live.markComplete()
    first.time.now += 6000
    first.live.markComplete()
    await waitUntil('the age', async () => readFileSync(path, 'utf8').includes(String(NOW + 6000)))
    const next = await startKeeping(path, NOW + 7000)
    expect(next.live.stalenessSeconds()).toBe(1)
    await Promise.all([first.close(), next.close()])
  })

  test('that is put back from an older copy is as old as that copy', async () => {
    const path = join(newFolder(), 'r.json')
    await keepOne(path)
    copyFileSync(path, `${path}.old`)
    const { live, time, close } = await startKeeping(path, NOW)
    time.now += 60_000
    live.receive([entryOf('b')])
    live.markComplete()
    await close()
    copyFileSync(`${path}.old`, path)
    const after = await startKeeping(path, NOW + 61_000)
    expect(after.live.stalenessSeconds()).toBe(61)
    await after.close()
  })

  test.each([
    [
      'a changed entry',
      (text: string) => text.replace('id-a', 'id-b'),
      'damaged_or_of_another_key',
    ],
    [
      'a younger age',
      (text: string) => text.replace('17000', '17001'),
      'damaged_or_of_another_key',
    ],
    ['half of it', (text: string) => text.slice(0, 90), 'damaged_or_of_another_key'],
    ['nothing in it', () => '', 'damaged_or_of_another_key'],
  ])('is left aside with a warning when it has %s', async (_what, change, reason) => {
    const path = join(newFolder(), 'r.json')
    await keepOne(path)
    writeFileSync(path, change(readFileSync(path, 'utf8')))
    const { live, reasons, close } = await startKeeping(path, NOW)
    expect(live.stalenessSeconds()).toBe(Infinity)
    expect(reasons()).toEqual([reason])
    await close()
  })

  test('is left aside when the clock went backwards, when it is of another version, and in the place of a folder', async () => {
    const path = join(newFolder(), 'r.json')
    await keepOne(path)
    const earlier = await startKeeping(path, NOW - 1)
    expect(earlier.live.stalenessSeconds()).toBe(Infinity)
    expect(earlier.reasons()).toEqual(['clock_went_backwards'])
    await earlier.close()

    await openAuthenticatedFile({ path, key: Buffer.alloc(32, 1), purpose: ['revocations'] }).save({
      version: 2,
    })
    const later = await startKeeping(path, NOW)
    expect(later.reasons()).toEqual(['other_version'])
    await later.close()

    const folder = join(newFolder(), 'r.json')
    mkdirSync(folder, { mode: 0o700 })
    const misplaced = await startKeeping(folder, NOW)
    misplaced.live.markComplete()
    await misplaced.close()
    expect(misplaced.reasons()).toEqual(['unreadable', undefined])
  })

  test('leaves what is on disk alone until the log was heard', async () => {
    const path = join(newFolder(), 'r.json')
    const { live, close } = await startKeeping(path, NOW)
    live.receive([entryOf('a')])
    await close()
    expect(() => readFileSync(path)).toThrow('ENOENT')
  })
})
