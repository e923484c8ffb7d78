import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import type { Clock } from '../../src/kernel/clock.ts'
import { createLog } from '../../src/kernel/log.ts'
import { takeDueStep } from '../../src/keys/key-rotation.ts'
import { openLiveRing } from '../../src/keys/live-ring.ts'
import { createKeyDocuments } from '../../src/keys/key-documents.ts'
import { openKeyFolder } from '../../src/keys/document-place.ts'
import { generateSigningKey } from '../../src/keys/ring-file.ts'
import { openRingStore } from '../../src/keys/ring-store.ts'
import { activeKey } from '../../src/keys/ring.ts'
import { useTempFolders } from '../support/temp-folders.ts'

const newFolder = useTempFolders()
const log = createLog('silent')
const makeKey = () => generateSigningKey(2048)
const policy = { jwksMaxAgeSeconds: 300, tokenLifetimeSeconds: 1860, rotateEverySeconds: 86_400 }

const openRing = (dir: string, clock: Clock) =>
  openRingStore(createKeyDocuments(openKeyFolder(dir), []), { makeKey, clock })

test('of two instances exactly one takes each step, and both see it', async () => {
  const dir = newFolder()
  let now = 1_700_000_000_000
  const clock = () => now
  let made = 0
  const countedKey = () => {
    made += 1
    return makeKey()
  }
  const open = async () => {
    const store = await openRing(dir, clock)
    const live = await openLiveRing(store, log)
    return { store, live, policy, makeKey: countedKey, clock, log }
  }
  const instances = [await open(), await open()]
  const step = async () =>
    (await Promise.all(instances.map(takeDueStep))).filter((isDone) => isDone).length
  const rings = () =>
    Promise.all(instances.map(async ({ live }) => (await live.look(), live.current())))

  const [before] = await rings()
  expect(await step()).toBe(0)
  now += 86_400_000
  expect(await step()).toBe(1)
  const [first, second] = await rings()
  expect(second).toEqual(first)
  expect(first?.keys.map(({ state }) => state)).toEqual(['active', 'next', 'retiring'])
  expect(first && activeKey(first).kid).toBe(before?.keys[1]?.kid)
  expect(first?.keys[2]).not.toHaveProperty('privateJwk')
  expect(await step()).toBe(0)
  now += 1_861_000
  const madeBefore = made
  expect(await step()).toBe(1)
  expect(made).toBe(madeBefore)
  expect((await rings())[1]?.keys.map(({ state }) => state)).toEqual(['active', 'next'])
  for (const { live } of instances) live.close()
  expect(readdirSync(dir).sort()).toEqual(['ring.json', 'ring.lock'])
  for (const name of readdirSync(dir)) expect(statSync(join(dir, name)).mode & 0o777).toBe(0o600)
})

test('who decided on an older ring changes nothing', async () => {
  const clock = () => 1_700_000_000_000
  const store = await openRing(newFolder(), clock)
  const ring = await store.load()
  const shorter = { keys: ring.keys.slice(0, 1) }
  expect(await store.replace(ring, shorter)).toBe(true)
  expect(await store.replace(ring, { keys: [...ring.keys].toReversed() })).toBe(false)
  expect(await store.load()).toEqual(shorter)
})
