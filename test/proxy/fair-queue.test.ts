import fc from 'fast-check'
import { expect, test } from 'vitest'
import { createFairQueue, MAX_WEIGHT, MIN_WEIGHT, type Party } from '../../src/proxy/fair-queue.ts'
import { createRandom } from '../support/random.ts'

/** From tiny to huge, with those that people use in between. */
const weight = fc.oneof(
  fc.constantFrom(Number.MIN_VALUE, 0.001, 1, 2, 7.999999999999999, 8, 1e9, Number.MAX_VALUE),
  fc.double({ min: 0.05, max: 20, noNaN: true }),
)

/** Of a tenant with one client, unless another is named. */
const party = (tenantId: string, weightOfTenant = 1, clientId = 'only'): Party => ({
  tenantId,
  clientId,
  weight: weightOfTenant,
})

const anyParty = fc.record({
  tenantId: fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f'),
  clientId: fc.constantFrom('x', 'y', 'z'),
  weight,
})

const step = fc.oneof(
  { weight: 4, arbitrary: fc.record({ does: fc.constant('enqueue' as const), whose: anyParty }) },
  { weight: 3, arbitrary: fc.record({ does: fc.constant('next' as const) }) },
  { weight: 1, arbitrary: fc.record({ does: fc.constant('leave' as const), at: fc.nat() }) },
)

type Waiting = { whose: Party; leave: () => boolean }

const isSameClient = (a: Party, b: Party | undefined) =>
  a.tenantId === b?.tenantId && a.clientId === b.clientId

test('nobody is lost, nobody is served twice, and each client is served in its own order', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 300 }), (steps) => {
      const queue = createFairQueue<Waiting>()
      let waiting: Waiting[] = []
      let hasLeftTwice = false
      const enqueue = (whose: Party) => {
        const entry: Waiting = { whose, leave: () => false }
        entry.leave = queue.enqueue(whose, entry)
        waiting.push(entry)
        return undefined
      }
      const serve = () => {
        const served = queue.next()
        expect(served).toBe(waiting.find(({ whose }) => isSameClient(whose, served?.whose)))
        expect(served === undefined).toBe(waiting.length === 0)
        return served
      }
      const leave = (entry: Waiting | undefined) => {
        expect(entry === undefined || entry.leave()).toBe(true)
        return entry
      }
      for (const each of steps) {
        const gone =
          each.does === 'enqueue'
            ? enqueue(each.whose)
            : each.does === 'next'
              ? serve()
              : leave(waiting[each.at % waiting.length])
        hasLeftTwice ||= gone !== undefined && gone.leave()
        waiting = waiting.filter((entry) => entry !== gone)
        expect(queue.size()).toBe(waiting.length)
        for (const { whose } of waiting) {
          const own = waiting.filter((other) => isSameClient(other.whose, whose))
          expect(queue.sizeOf(whose)).toBe(own.length)
        }
      }
      expect(hasLeftTwice).toBe(false)
      const rest = waiting.map(() => queue.next())
      expect(new Set(rest)).toEqual(new Set(waiting))
      expect(queue.next()).toBeUndefined()
    }),
  )
})

/** Beyond its proportion a tenant waits for one entry of each band, of which there are so many. */
const BANDS = Math.log2(MAX_WEIGHT / MIN_WEIGHT) + 1

test('no tenant with waiting work starves, whatever the weights of those that come and go beside it', () => {
  const others = fc.dictionary(fc.constantFrom('b', 'c', 'd', 'e', 'f', 'g', 'h'), weight)
  const activity = fc.array(fc.record({ at: fc.nat(), adds: fc.boolean() }), { minLength: 500 })
  fc.assert(
    fc.property(weight, others, activity, (own, weights, events) => {
      const within = (each: number) => Math.min(Math.max(each, MIN_WEIGHT), MAX_WEIGHT)
      const total = Object.values(weights).reduce((sum, each) => sum + within(each), within(own))
      const bound = Math.ceil((4 * total) / within(own)) + 2 * BANDS
      const queue = createFairQueue<string>()
      const names = Object.keys(weights)
      const add = (name: string) => queue.enqueue(party(name, weights[name] ?? own), name)
      names.forEach(add)
      events
        .slice(0, 50)
        .forEach(({ at }) => names.length > 0 && add(names[at % names.length] ?? ''))
      add('a')
      let served = 0
      for (; served <= bound; served++) {
        const event = events[served % events.length]
        const name = names[(event?.at ?? 0) % names.length]
        if (name !== undefined && (event?.adds || queue.sizeOf(party(name)) === 0)) add(name)
        if (queue.next() === 'a') break
      }
      expect(served).toBeLessThanOrEqual(bound)
    }),
  )
})

/** Each with its weight, always waiting; how often each was served. */
function serveAll(weights: readonly number[], times: number): number[] {
  const queue = createFairQueue<number>()
  const served = weights.map(() => 0)
  const add = (i: number) => queue.enqueue(party(`tenant ${i}`, weights[i] ?? 1), i)
  weights.forEach((_weight, i) => add(i))
  weights.forEach((_weight, i) => add(i))
  for (let n = 0; n < times; n++) {
    const i = queue.next() ?? -1
    served[i] = (served[i] ?? 0) + 1
    add(i)
  }
  return served
}

test('while everybody waits, no stretch of service is further from the weights than a few entries', () => {
  const weights = fc.array(fc.double({ min: 0.1, max: 10, noNaN: true }), {
    minLength: 2,
    maxLength: 8,
  })
  fc.assert(
    fc.property(weights, fc.integer({ min: 1, max: 1000 }), (each, times) => {
      const total = each.reduce((sum, own) => sum + own, 0)
      const off = serveAll(each, times).map((n, i) =>
        Math.abs(n - (times * (each[i] ?? 0)) / total),
      )
      expect(Math.max(...off)).toBeLessThan(4)
    }),
  )
})

test(
  '1,000 tenants with differing weights are served by weight, within 5 %',
  { timeout: 30_000 },
  () => {
    const random = createRandom(1)
    const weights = Array.from({ length: 1000 }, () => 0.2 * 50 ** random())
    const total = weights.reduce((sum, own) => sum + own, 0)
    const times = Math.round((60 * total) / Math.min(...weights))
    const served = serveAll(weights, times)
    const off = served.map((n, i) => Math.abs(n / times / ((weights[i] ?? 1) / total) - 1))
    expect(Math.max(...off)).toBeLessThan(0.05)
  },
)

test('a new weight counts from the next turn on, and costs the tenant no turn', () => {
  const queue = createFairQueue<string>()
  for (let n = 0; n < 60; n++) {
    queue.enqueue(party('a', n % 2 === 0 ? 1 : 10), 'a')
    queue.enqueue(party('b'), 'b')
  }
  const served = Array.from({ length: 23 }, () => queue.next())
  expect(served[0]).toBe('a')
  expect(served.filter((each) => each === 'b')).toHaveLength(2)
})

test('a tenant of the least weight that was served for long changes nothing for others', () => {
  const queue = createFairQueue<string>()
  for (let n = 0; n < 5000; n++) queue.enqueue(party('least', 0), 'least')
  for (let n = 0; n < 4000; n++) expect(queue.next()).toBe('least')
  for (let n = 0; n < 60; n++) {
    queue.enqueue(party('a', 2), 'a')
    queue.enqueue(party('b', 1), 'b')
  }
  const served = Array.from({ length: 60 }, () => queue.next())
  const times = (who: string) => served.filter((each) => each === who).length
  expect(times('a')).toBeGreaterThanOrEqual(39)
  expect(times('b')).toBeGreaterThanOrEqual(19)
})

test('the clients of a tenant take turns within its share', () => {
  const queue = createFairQueue<string>()
  for (let n = 0; n < 50; n++) queue.enqueue(party('a', 1, 'flood'), 'flood')
  for (let n = 0; n < 50; n++) queue.enqueue(party('b', 1, 'other'), 'other')
  for (let n = 0; n < 5; n++) queue.enqueue(party('a', 1, 'quiet'), 'quiet')
  const served = Array.from({ length: 20 }, () => queue.next())
  const times = (who: string) => served.filter((each) => each === who).length
  expect(['flood', 'quiet', 'other'].map(times)).toEqual([5, 5, 10])
})

test('counts who would be served before a newcomer', () => {
  const queue = createFairQueue<string>()
  expect(queue.countAhead(party('new'))).toBe(0)
  for (let n = 0; n < 100; n++) queue.enqueue(party('flood'), 'flood')
  queue.enqueue(party('heavy', 3), 'heavy')
  expect(queue.countAhead(party('flood'))).toBe(101)
  expect(queue.countAhead(party('flood', 1, 'new'))).toBe(2)
  expect(queue.countAhead(party('new'))).toBe(2)
  expect(queue.countAhead(party('new', 0.1))).toBe(11)
  expect(queue.countAhead(party('heavy', 3))).toBe(1)
})
