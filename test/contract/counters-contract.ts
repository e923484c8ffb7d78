import * as fc from 'fast-check'
import { beforeEach, expect, test } from 'vitest'
import {
  DAY_MS,
  FIRST_GUESS_TOKENS,
  type Accounts,
  type Counters,
  type Quota,
} from '../../src/store/counters.ts'

/** Counters that go by the clock of the test, and others that a second process would have; the same where there is none. */
export type CountersUnderTest = {
  counters: Counters
  peer: Counters
  time: { now: number }
}

const MIDNIGHT = Date.UTC(2031, 4, 17)
let named = 0

/** Accounts that nobody has used before, so that tests do not meet. */
export function freshAccounts(...quotas: readonly Quota[]): Accounts {
  named += 1
  return {
    tenant: `tenant ${named}`,
    accounts: quotas.map((quota, i) => ({ id: `account ${named}.${i}`, quota })),
  }
}

const lease = () => {
  named += 1
  return `lease ${named}`
}

/** The one suite that all counters pass. */
export function describeCounters(subject: () => CountersUnderTest): void {
  beforeEach(() => {
    subject().time.now = MIDNIGHT
  })

  const enter = async (of: Accounts, name = lease()) =>
    (await subject().counters.enter(of, name)).isLetIn
  const served = (tokens?: number) => ({
    tokens,
    wasServed: true,
    enteredAtMs: subject().time.now,
  })

  test('a request is counted in every account or in none', async () => {
    const of = freshAccounts({ rpm: 5, daily_requests: 5 }, { rpm: 2, concurrency: 9 })
    expect([await enter(of), await enter(of), await enter(of)]).toEqual([true, true, false])
    const { balances, atMs } = await subject().counters.read(of)
    expect(atMs).toBe(MIDNIGHT)
    expect(balances).toEqual([
      {
        minuteRequests: 2,
        minuteFreesInMs: 60_000,
        running: 0,
        dayRequests: 2,
        dayTokens: 0,
        daySettled: 0,
        meanBefore: 0,
        reservedTokens: 0,
      },
      {
        minuteRequests: 2,
        minuteFreesInMs: 60_000,
        running: 2,
        dayRequests: 0,
        dayTokens: 0,
        daySettled: 0,
        meanBefore: 0,
        reservedTokens: 0,
      },
    ])
  })

  test('what may be used once is used by the first who comes with it, and nothing is counted of the others', async () => {
    const of = freshAccounts({ rpm: 9, concurrency: 9, daily_requests: 9 })
    const { counters, peer } = subject()
    const use = { id: lease(), ttlSeconds: 60 }
    const entered = await Promise.all(
      [counters, peer, counters].map(async (each) => each.enter(of, lease(), use)),
    )
    expect(entered.filter(({ isLetIn }) => isLetIn)).toHaveLength(1)
    const others = entered.filter(({ isLetIn }) => !isLetIn)
    expect(others).toEqual(Array(2).fill(expect.objectContaining({ wasUsed: true, balances: [] })))
    expect(await counters.read(of)).toMatchObject({
      balances: [{ minuteRequests: 1, running: 1, dayRequests: 1 }],
    })
    expect(await peer.useUp(use, of.tenant)).toBe(false)
  })

  test('what may be used once is used also by who finds no room, and where nothing is counted', async () => {
    const of = freshAccounts({ rpm: 1 })
    const { counters, peer } = subject()
    const [late, other] = [
      { id: lease(), ttlSeconds: 60 },
      { id: lease(), ttlSeconds: 60 },
    ]
    await counters.enter(of, lease())
    const refused = await counters.enter(of, lease(), late)
    expect([refused.isLetIn, refused.wasUsed]).toEqual([false, undefined])
    expect(await peer.useUp(late, of.tenant)).toBe(false)
    expect([await peer.useUp(other, of.tenant), await counters.useUp(other, of.tenant)]).toEqual([
      true,
      false,
    ])
    expect(await counters.enter(of, lease(), other)).toMatchObject({ wasUsed: true })
  })

  test('what was never used is read as unused', async () => {
    const { balances } = await subject().counters.read(
      freshAccounts({ rpm: 1, daily_tokens: 1, concurrency: 1 }),
    )
    expect(balances).toEqual([
      {
        minuteRequests: 0,
        minuteFreesInMs: 0,
        running: 0,
        dayRequests: 0,
        dayTokens: 0,
        daySettled: 0,
        meanBefore: 0,
        reservedTokens: 0,
      },
    ])
  })

  test('no 60 s, wherever they begin, see more requests than the quota, and 61 s later there is room', async () => {
    const gapsMs = fc.array(fc.oneof(fc.nat(900), fc.nat(70_000)), { minLength: 1, maxLength: 40 })
    await fc.assert(
      fc.asyncProperty(
        gapsMs,
        fc.integer({ min: 1, max: 5 }),
        fc.nat(999),
        async (gaps, rpm, offset) => {
          const { time } = subject()
          time.now = MIDNIGHT + offset
          const of = freshAccounts({ rpm })
          const lets: number[] = []
          for (const gap of gaps) {
            time.now += gap
            const recent = lets.filter((at) => at > time.now - 60_000).length
            const certain = lets.filter((at) => at > time.now - 61_000).length
            const isLetIn = await enter(of)
            if (isLetIn) lets.push(time.now)
            // In between, either is right.
            expect([isLetIn, recent < rpm]).not.toEqual([true, false])
            expect([isLetIn, certain >= rpm]).not.toEqual([false, false])
          }
        },
      ),
      { numRuns: 30 },
    )
  })

  test('a place is free again when a request leaves, once', async () => {
    const of = freshAccounts({ concurrency: 2 })
    const [one, two] = [lease(), lease()]
    expect([await enter(of, one), await enter(of, two), await enter(of)]).toEqual([
      true,
      true,
      false,
    ])
    await subject().counters.leave(of, one, served())
    await subject().counters.leave(of, one, served())
    expect([await enter(of), await enter(of)]).toEqual([true, false])
  })

  test('a day ends at midnight UTC, and nothing of it is left', async () => {
    const { time, counters } = subject()
    const of = freshAccounts({ daily_requests: 1, daily_tokens: 100 })
    const name = lease()
    time.now = MIDNIGHT + DAY_MS - 1
    expect([await enter(of, name), await enter(of)]).toEqual([true, false])
    await counters.leave(of, name, served(99))
    expect((await counters.read(of)).balances).toMatchObject([{ dayRequests: 1, dayTokens: 99 }])
    time.now += 1
    expect((await counters.read(of)).balances).toMatchObject([{ dayRequests: 0, dayTokens: 0 }])
    expect(await enter(of)).toBe(true)
  })

  test('a clock that is put back over midnight gives nobody a second budget', async () => {
    const of = freshAccounts({ daily_requests: 1 })
    expect(await enter(of)).toBe(true)
    subject().time.now -= 1
    expect(await enter(of)).toBe(false)
  })

  test('a request that no model server had does not count against its day, and never against another', async () => {
    const { time, counters } = subject()
    const of = freshAccounts({ daily_requests: 2 })
    const [one, two] = [lease(), lease()]
    expect([await enter(of, one), await enter(of, two)]).toEqual([true, true])
    const how = { tokens: undefined, wasServed: false, enteredAtMs: time.now }
    await counters.leave(of, one, how)
    expect([await enter(of), await enter(of)]).toEqual([true, false])
    time.now += DAY_MS
    expect(await enter(of)).toBe(true)
    await counters.leave(of, two, how)
    expect((await counters.read(of)).balances).toMatchObject([{ dayRequests: 1 }])
  })

  test('a request that was let in elsewhere counts against its day when it ends, if a model server had it', async () => {
    const { time, counters } = subject()
    const of = freshAccounts({ daily_requests: 2, daily_tokens: 100 })
    const elsewhere = { ...served(7), wasEnteredElsewhere: true }
    await counters.leave(of, lease(), elsewhere)
    await counters.leave(of, lease(), { ...elsewhere, tokens: undefined, wasServed: false })
    const used = [{ dayRequests: 1, dayTokens: 7, running: 0 }]
    expect((await counters.read(of)).balances).toMatchObject(used)
    expect([await enter(of), await enter(of)]).toEqual([true, false])
    time.now += DAY_MS
    await counters.leave(of, lease(), elsewhere)
    expect((await counters.read(of)).balances).toMatchObject([{ dayRequests: 0, dayTokens: 7 }])
  })

  test('running requests have as many tokens set aside as one took in the mean', async () => {
    const { counters } = subject()
    const of = freshAccounts({ daily_tokens: 10_000 })
    const [one, two, three] = [lease(), lease(), lease()]
    expect([await enter(of, one), await enter(of, two)]).toEqual([true, true])
    const guessed = 2 * FIRST_GUESS_TOKENS
    expect((await counters.read(of)).balances).toMatchObject([{ reservedTokens: guessed }])
    await counters.leave(of, one, served(3000))
    await counters.leave(of, two, served(4101))
    expect((await counters.read(of)).balances).toMatchObject([
      { dayTokens: 7101, daySettled: 2, reservedTokens: 0 },
    ])
    expect([await enter(of, three), await enter(of)]).toEqual([true, false])
    await counters.leave(of, three, served())
    expect((await counters.read(of)).balances).toMatchObject([
      { dayTokens: 7101, reservedTokens: 0 },
    ])
  })

  test('a request that was cut is charged what it is known to have taken, and no less than was set aside', async () => {
    const { counters } = subject()
    const of = freshAccounts({ daily_tokens: 100_000 })
    const end = async (tokens: number | undefined, isCut: boolean) => {
      const name = lease()
      await enter(of, name)
      await counters.leave(of, name, { ...served(tokens), isCut })
      return (await counters.read(of)).balances[0]?.dayTokens
    }
    expect(await end(undefined, true)).toBe(FIRST_GUESS_TOKENS)
    expect(await end(1000, false)).toBe(FIRST_GUESS_TOKENS + 1000)
    // However many are cut, what is expected of the next does not grow by it.
    for (let i = 1; i <= 5; i += 1) expect(await end(i, true)).toBe((2 + i) * 2000)
    expect(await end(5000, true)).toBe(14_000 + 5000)
  })

  test('what one took in the mean goes on over midnight, and is forgotten after a day without use', async () => {
    const { time, counters } = subject()
    const of = freshAccounts({ daily_tokens: 100_000 })
    const letInAtOnce = async () => {
      const names: string[] = []
      for (let name = lease(); await enter(of, name); name = lease()) names.push(name)
      return names
    }
    const first = lease()
    await enter(of, first)
    await counters.leave(of, first, served(9001))
    time.now += DAY_MS
    const names = await letInAtOnce()
    expect(names).toHaveLength(12)
    expect((await counters.read(of)).balances).toMatchObject([
      { dayTokens: 0, daySettled: 0, meanBefore: 9001, reservedTokens: 12 * 9001 },
    ])
    for (const name of names) await counters.leave(of, name, served())
    time.now += DAY_MS
    expect(await letInAtOnce()).toHaveLength(Math.ceil(100_000 / FIRST_GUESS_TOKENS))
  })

  test('many at once, from two processes, are let in as often as the quota says', async () => {
    const { counters, peer } = subject()
    const of = freshAccounts({ daily_requests: 50 }, { concurrency: 40 }, { rpm: 30 })
    const entered = await Promise.all(
      Array.from({ length: 100 }, async (_, i) =>
        (i % 2 === 0 ? counters : peer).enter(of, lease()),
      ),
    )
    expect(entered.filter(({ isLetIn }) => isLetIn)).toHaveLength(30)
  })

  test('tokens are never overspent by more than one request for each that runs at once', async () => {
    const steps = fc.array(fc.oneof(fc.constant('enter'), fc.nat(60)), { maxLength: 40 })
    const quotas = fc.record({
      concurrency: fc.integer({ min: 1, max: 4 }),
      daily_tokens: fc.integer({ min: 1, max: 200 }),
    })
    await fc.assert(
      fc.asyncProperty(steps, quotas, async (each, quota) => {
        const of = freshAccounts(quota)
        const running: string[] = []
        let spent = 0
        for (const step of each) {
          const name = lease()
          if (step === 'enter') {
            if (await enter(of, name)) running.push(name)
            continue
          }
          const oldest = running.shift()
          if (oldest === undefined) continue
          await subject().counters.leave(of, oldest, served(step))
          spent += step
        }
        expect(spent).toBeLessThan(quota.daily_tokens + 60 * quota.concurrency)
      }),
      { numRuns: 30 },
    )
  })
}
