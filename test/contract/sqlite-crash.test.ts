import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { systemClock } from '../../src/kernel/clock.ts'
import { openSqliteStore } from '../../src/store/sqlite.ts'
import type { Store } from '../../src/store/store.ts'
import { createMemoryFolder } from '../support/memory-folder.ts'

const REGISTRY = { name: 'registry', layout: 'together' } as const
const WRITER = fileURLToPath(new URL('../support/sqlite-writer.ts', import.meta.url))

let folder = ''
beforeAll(async () => {
  // A killed process leaves to the system what it wrote, on a disk or in memory: only a power cut would tell them apart.
  folder = await createMemoryFolder()
})
afterAll(() => rm(folder, { recursive: true }))

test('kill -9 in the midst of 1,000 commits, twenty times, loses nothing acknowledged and halves no commit', async () => {
  const path = join(folder, 'crash.db')
  for (let round = 0; round < 20; round += 1) {
    const acknowledged = await writeUntilKilled(path, { round, afterCount: 7 + 47 * round })
    const store = await openSqliteStore({ path, clock: systemClock })
    const clients = await numbersUnder(store, `client/${round}/`)
    const names = await numbersUnder(store, `name/${round}/`)
    await store.close()
    expect(clients).toEqual(expect.arrayContaining(acknowledged))
    expect(names).toEqual(clients)
  }
})

test('a second process is refused with a hint, and let in once the first was killed', async () => {
  const path = join(folder, 'locked.db')
  const { child, lines } = startWriter(path, 0)
  await lines.next()
  await expect(openSqliteStore({ path, clock: systemClock })).rejects.toMatchObject({
    name: 'ConfigError',
    problems: [`${path} is in use by another process`],
    hint: expect.stringContaining('redis.url'),
  })
  await kill(child)
  const store = await openSqliteStore({ path, clock: systemClock })
  await expect(openSqliteStore({ path, clock: systemClock })).rejects.toThrow('in use')
  await store.close()
})

/** Starts a writer and kills it once it has acknowledged so many; gives all that it acknowledged. */
async function writeUntilKilled(
  path: string,
  { round, afterCount }: { round: number; afterCount: number },
): Promise<number[]> {
  const { child, lines } = startWriter(path, round)
  const acknowledged: number[] = []
  for await (const line of lines) {
    if (line !== 'open') acknowledged.push(Number(line))
    if (acknowledged.length === afterCount) await kill(child)
  }
  expect(acknowledged.length).toBeGreaterThanOrEqual(afterCount)
  return acknowledged
}

function startWriter(path: string, round: number) {
  const child = spawn(process.execPath, [WRITER, path, String(round)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  return { child, lines: createInterface({ input: child.stdout })[Symbol.asyncIterator]() }
}

async function kill(child: ChildProcess): Promise<void> {
  const exited = once(child, 'exit')
  child.kill('SIGKILL')
  await exited
}

async function numbersUnder(store: Store, prefix: string): Promise<number[]> {
  const { records } = await store.list(REGISTRY, { prefix, limit: 2000 })
  return records.map(({ id }) => Number(id.slice(prefix.length)))
}
