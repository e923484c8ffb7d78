import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  ConflictError,
  type Change,
  type ListedCollection,
  type Store,
} from '../../src/store/store.ts'
import { createCollection } from './record-contract.ts'
import type { Subject } from './store-contract.ts'
import { anyCharacter } from '../support/any-character.ts'

const anyId = fc.oneof(
  fc.constantFrom(
    'a',
    'a/1',
    'a/10',
    'a/2',
    'b',
    'é',
    '水',
    '😀',
    '{a}',
    ':',
    '*',
    '\u0000',
    'a\n',
  ),
  fc.string({ unit: anyCharacter, minLength: 1, maxLength: 6 }).filter((id) => id.isWellFormed()),
)

/** A change whose expectation is held, stale or blind; versions are filled in when it is made. */
const anyStep = fc.record({
  kind: fc.constantFrom('put' as const, 'delete' as const, 'check' as const),
  id: fc.constantFrom('a', 'b', 'c'),
  expectation: fc.constantFrom(
    'any' as const,
    'absent' as const,
    'current' as const,
    'old' as const,
  ),
  isPermanent: fc.boolean(),
})
type Step = typeof anyStep extends fc.Arbitrary<infer T> ? T : never

/** What holds for records whoever writes them and in whatever order. */
export function describeRecordProperties(subject: Subject): void {
  test('of any number of writers exactly one wins each version, and the last value is the chain of winners', async () => {
    const { store, peer } = subject()
    const writers = fc.integer({ min: 2, max: 8 })
    const rounds = fc.integer({ min: 1, max: 4 })
    await fc.assert(
      fc.asyncProperty(writers, rounds, async (writers, rounds) => {
        const collection = createCollection()
        await store.commit(collection, [putChain([], 'absent')])
        const wins = await Promise.all(
          Array.from({ length: writers }, (_, writer) =>
            appendToChain(writer % 2 === 0 ? store : peer, collection, { writer, rounds }),
          ),
        )
        const record = await store.get(collection, 'chain')
        const replaced = wins.flat().map(({ from }) => from)
        expect(new Set(replaced).size).toBe(writers * rounds)
        expect(record?.value).toEqual(chainOf(wins.flat()))
      }),
      { numRuns: 8 },
    )
  })

  test('a store does what a plain map would do', async () => {
    const { store } = subject()
    const commits = fc.array(
      fc.uniqueArray(anyStep, { minLength: 1, maxLength: 3, selector: ({ id }) => id }),
      { maxLength: 20 },
    )
    await fc.assert(
      fc.asyncProperty(commits, async (commits) => {
        const collection = createCollection()
        const model = new Map<string, { value: unknown; version: string }>()
        const oldVersions = new Map<string, string>()
        for (const [number, steps] of commits.entries()) {
          const changes = steps.map((step) => toChange(step, { number, model, oldVersions }))
          const shouldConflict = !changes.every((change) => isMetIn(model, change))
          const outcome = await store.commit(collection, changes).catch((error: unknown) => error)
          expect(outcome instanceof ConflictError).toBe(shouldConflict)
          if (typeof outcome === 'string')
            applyTo(model, { changes, version: outcome, oldVersions })
          const expected = [...model].map(([id, record]) => ({ id, ...record })).sort(byId)
          expect((await store.list(collection, { limit: 10 })).records).toEqual(expected)
        }
      }),
      { numRuns: 30 },
    )
  })

  test('pages together hold every id under the prefix once, in the order of its bytes', async () => {
    const { store } = subject()
    const ids = fc.uniqueArray(anyId, { minLength: 1, maxLength: 25 })
    const prefix = fc.oneof(fc.constant(''), fc.constant('a'), fc.constant('a/'), anyId)
    await fc.assert(
      fc.asyncProperty(ids, prefix, fc.integer({ min: 1, max: 7 }), async (ids, prefix, limit) => {
        const collection = createCollection()
        await store.commit(
          collection,
          ids.map((id) => ({
            kind: 'put',
            id,
            value: id,
            expect: 'absent',
            lifetime: 'permanent',
          })),
        )
        const listed: unknown[] = []
        let after: string | undefined
        do {
          const page = await store.list(collection, { prefix, after, limit })
          expect(page.records.length).toBeLessThanOrEqual(limit)
          listed.push(...page.records.map(({ value }) => value))
          after = page.next
        } while (after !== undefined)
        expect(listed).toEqual(ids.filter((id) => id.startsWith(prefix)).sort(byBytes))
      }),
      { numRuns: 30 },
    )
  })
}

type Win = { from: string; to: string; writer: number }

/** Reads, adds itself and writes back if nobody was faster; again and again until it has won `rounds` times. */
async function appendToChain(
  store: Store,
  collection: ListedCollection,
  { writer, rounds }: { writer: number; rounds: number },
): Promise<Win[]> {
  const wins: Win[] = []
  while (wins.length < rounds) {
    const record = await store.get(collection, 'chain')
    if (record === undefined || !Array.isArray(record.value)) throw new Error('the chain is gone')
    const { version } = record
    try {
      const to = await store.commit(collection, [putChain([...record.value, writer], { version })])
      wins.push({ from: version, to, writer })
    } catch (error) {
      if (!(error instanceof ConflictError)) throw error
    }
  }
  return wins
}

const putChain = (chain: readonly unknown[], expect: Change['expect']): Change => ({
  kind: 'put',
  id: 'chain',
  value: chain,
  expect,
  lifetime: { ttlSeconds: 600 },
})

/** The writers in the order in which their versions replaced one another. */
function chainOf(wins: readonly Win[]): number[] {
  const next = new Map(wins.map((win) => [win.from, win]))
  const targets = new Set(wins.map(({ to }) => to))
  let win = wins.find(({ from }) => !targets.has(from))
  const chain: number[] = []
  while (win !== undefined) {
    chain.push(win.writer)
    win = next.get(win.to)
  }
  return chain
}

type Model = Map<string, { value: unknown; version: string }>

function toChange(
  { kind, id, expectation, isPermanent }: Step,
  world: { number: number; model: Model; oldVersions: Map<string, string> },
): Change {
  const versions = {
    current: world.model.get(id)?.version ?? 'none',
    old: world.oldVersions.get(id) ?? 'none',
  }
  const expect =
    expectation === 'any' || expectation === 'absent'
      ? expectation
      : { version: versions[expectation] }
  if (kind !== 'put') return { kind, id, expect }
  const lifetime = isPermanent ? 'permanent' : { ttlSeconds: 600 }
  return { kind, id, value: { number: world.number }, expect, lifetime }
}

function isMetIn(model: Model, { id, expect }: Change): boolean {
  if (expect === 'any') return true
  return expect === 'absent' ? !model.has(id) : model.get(id)?.version === expect.version
}

function applyTo(
  model: Model,
  done: { changes: readonly Change[]; version: string; oldVersions: Map<string, string> },
): void {
  for (const change of done.changes) {
    const before = model.get(change.id)
    if (change.kind === 'check') continue
    if (before !== undefined) done.oldVersions.set(change.id, before.version)
    if (change.kind === 'put') model.set(change.id, { value: change.value, version: done.version })
    else model.delete(change.id)
  }
}

const byBytes = (a: string, b: string): number => Buffer.compare(Buffer.from(a), Buffer.from(b))
const byId = (a: { id: string }, b: { id: string }): number => byBytes(a.id, b.id)
