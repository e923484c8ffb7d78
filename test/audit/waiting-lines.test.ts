import { createHash } from 'node:crypto'
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { CHAIN_START } from '../../src/audit/chain.ts'
import { createWaitingLines, type LineBatch } from '../../src/audit/waiting-lines.ts'

/** The same line, made as the contract describes it. */
function lineOf(draft: string, prev: string): { line: string; hash: string } {
  const hashed = `${draft},"prev":"${prev}"}`
  const hash = createHash('sha256').update(hashed).digest('base64url')
  return { line: `${hashed.slice(0, -1)},"hash":"${hash}"}`, hash }
}

test('every draft becomes one line of the chain, in batches that do not change while they are read', () => {
  const text = fc.string({ unit: 'binary', maxLength: 200 })
  const draft = text.map((said) => JSON.stringify({ said }).slice(0, -1))
  const step = fc.oneof(draft, fc.constant('drop' as const))
  const run = fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
    const waiting = createWaitingLines(CHAIN_START, () => 0, 1024)
    const expected: string[] = []
    const taken: string[] = []
    let prev = ''
    let read: { batch: LineBatch; text: string } | undefined
    const drop = (batch: LineBatch) => {
      taken.push(...batch.text.toString().slice(0, -1).split('\n'))
      expect(batch.end.seq).toBe(taken.length)
      expect(taken.at(-1)).toContain(`"hash":"${batch.end.hash}"}`)
      waiting.dropOldest()
      read = undefined
    }
    for (const each of steps) {
      const batch = waiting.oldest()
      read ??= batch && { batch, text: batch.text.toString() }
      expect(batch).toBe(read?.batch)
      expect(batch?.text.toString()).toBe(read?.text)
      if (each === 'drop' && batch !== undefined) drop(batch)
      if (each === 'drop') continue
      const { line, hash } = lineOf(each, prev)
      expected.push(line)
      prev = hash
      waiting.push(() => each)
    }
    for (let batch = waiting.oldest(); batch !== undefined; batch = waiting.oldest()) drop(batch)
    expect(taken).toEqual(expected)
    expect(waiting.lastSeq()).toBe(expected.length)
  })
  fc.assert(run)
})

test('a line is asked for when it is read, or with 63 others, and told its number', () => {
  const waiting = createWaitingLines({ seq: 7, hash: 'before' }, () => 0)
  const asked: number[] = []
  const push = () =>
    waiting.push((seq) => {
      asked.push(seq)
      return '{"a":1'
    })
  for (let i = 0; i < 63; i += 1) push()
  expect(asked).toEqual([])
  push()
  expect(asked).toEqual(Array.from({ length: 64 }, (_, i) => 8 + i))
  push()
  expect(waiting.lastSeq()).toBe(72)
  expect(asked).toHaveLength(64)
  expect(waiting.oldest()?.end.seq).toBe(72)
  expect(asked.at(-1)).toBe(72)
})

test('says since when the oldest line has been waiting', () => {
  let now = 1000
  const waiting = createWaitingLines(CHAIN_START, () => now)
  expect(waiting.sinceMs()).toBeUndefined()
  expect(waiting.oldest()).toBeUndefined()
  waiting.push(() => '{"a":1')
  expect(waiting.sinceMs()).toBe(1000)
  expect(waiting.oldest()).toBeDefined()
  now = 2000
  waiting.push(() => '{"b":1')
  now = 3000
  expect(waiting.sinceMs()).toBe(1000)
  waiting.dropOldest()
  expect(waiting.sinceMs()).toBe(2000)
})
