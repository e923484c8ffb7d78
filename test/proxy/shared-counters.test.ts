import { describe, expect, onTestFinished, test } from 'vitest'
import { createLog } from '../../src/kernel/log.ts'
import type { OutageModes } from '../../src/proxy/outage-modes.ts'
import { createSharedCounters } from '../../src/proxy/shared-counters.ts'
import type { Accounts, LeasedCounters } from '../../src/store/counters.ts'
import { createMemoryCounters } from '../../src/store/memory-counters.ts'
import { freshAccounts } from '../contract/counters-contract.ts'
import { waitUntil } from '../support/wait-until.ts'

const PROBE_INTERVAL_MS = 2
const served = { tokens: 1, wasServed: true, enteredAtMs: 0 }

/** Counters that others hold, of which the test says for which tenants they are away. */
function startShared() {
  const counters = createMemoryCounters(() => 0)
  const away = new Set<string>()
  const events: string[] = []
  const require = ({ tenant }: Accounts) => {
    if (away.has(tenant)) throw new Error('away')
  }
  const shared: LeasedCounters = {
    async enter(of, lease, use) {
      require(of)
      return counters.enter(of, lease, use)
    },
    async useUp(use, tenant) {
      require({ tenant, accounts: [] })
      return counters.useUp(use, tenant)
    },
    async leave(of, lease, how) {
      require(of)
      counters.leave(of, lease, how)
    },
    async read(of) {
      require(of)
      return counters.read(of)
    },
    async renew(of) {
      require(of)
    },
    async probe(of) {
      require(of)
    },
  }
  const start = (changed: Partial<LeasedCounters> = {}, modes: Partial<OutageModes> = {}) => {
    const started = createSharedCounters({
      shared: { ...shared, ...changed },
      local: createMemoryCounters(() => 0),
      modes: { onFailure: 'local', ...modes },
      log: createLog('info', {
        write: (line) => void events.push(/"event":"([^"]+)"/.exec(line())?.[1] ?? ''),
      }),
      probeIntervalMs: PROBE_INTERVAL_MS,
    })
    onTestFinished(() => started.close())
    return started
  }
  return { away, events, counters, shared, start }
}

/** As many times as a probe could begin meanwhile. */
async function passProbes(): Promise<void> {
  let ticks = 0
  const ticking = setInterval(() => (ticks += 1), PROBE_INTERVAL_MS)
  await waitUntil('several intervals', async () => ticks >= 10)
  clearInterval(ticking)
}

test('what has ended meanwhile is settled once, however slowly that is answered', async () => {
  const { away, counters, shared, start } = startShared()
  const of = freshAccounts({ daily_tokens: 1e9 })
  const asked: string[] = []
  const held = Promise.withResolvers<void>()
  const proxy = start({
    async leave(accounts, lease, how) {
      asked.push(lease)
      await held.promise
      await shared.leave(accounts, lease, how)
    },
  })
  away.add(of.tenant)
  const names = Array.from({ length: 250 }, (_, i) => `lease ${i}`)
  for (const name of names) {
    await proxy.enter(of, name)
    proxy.leave(of, name, served)
  }
  away.clear()
  await waitUntil('the first are settled', async () => asked.length > 0)
  await passProbes()
  // No other probe has begun, nor are they shared before all is settled.
  expect([proxy.isDegraded(), asked.length]).toEqual([true, 100])
  held.resolve()
  await waitUntil('they are shared again', async () => !proxy.isDegraded())
  expect(asked.map((name) => name.replace(/^[^:]+:/, ''))).toEqual(names)
  expect(counters.read(of).balances).toMatchObject([{ dayTokens: 250, daySettled: 250 }])
})

test('while the place of one tenant is away they stay alone, whoever else could be counted', async () => {
  const { away, events, start } = startShared()
  const [gone, other] = [freshAccounts({ rpm: 100 }), freshAccounts({ rpm: 100 })]
  const proxy = start()
  away.add(gone.tenant)
  await proxy.enter(other, 'one')
  await proxy.enter(gone, 'two')
  await passProbes()
  expect([proxy.isDegraded(), events]).toEqual([true, ['limits.degraded']])
  away.clear()
  await waitUntil('they are shared again', async () => !proxy.isDegraded())
})

test('what several processes call by one name are different requests to those who share', async () => {
  const { counters, start } = startShared()
  const of = freshAccounts({ concurrency: 2 })
  const [one, two] = [start(), start()]
  await one.enter(of, 1)
  await two.enter(of, 1)
  expect(counters.read(of).balances).toMatchObject([{ running: 2 }])
  one.leave(of, 1, served)
  await one.close()
  expect(counters.read(of).balances).toMatchObject([{ running: 1 }])
})

test('one that cannot be settled does not keep the others waiting for ever', async () => {
  const { away, counters, shared, start } = startShared()
  const of = freshAccounts({ daily_tokens: 1e9 })
  const proxy = start({
    async leave(accounts, lease, how) {
      if (lease.endsWith(':never')) throw new Error('never')
      await shared.leave(accounts, lease, how)
    },
  })
  away.add(of.tenant)
  for (const name of ['never', 'other']) {
    await proxy.enter(of, name)
    proxy.leave(of, name, served)
  }
  away.clear()
  await waitUntil('they are shared again', async () => !proxy.isDegraded())
  expect(counters.read(of).balances).toMatchObject([{ dayTokens: 1 }])
})

test('while they are away, what may be used once lets in nobody, and others are counted alone', async () => {
  const { away, start } = startShared()
  const [of, elsewhere] = [freshAccounts({ rpm: 9 }), freshAccounts({ rpm: 9 })]
  const proxy = start()
  away.add(of.tenant)
  const use = { id: 'proof', ttlSeconds: 60 }
  for (const lease of ['unknown', 'known']) {
    await expect(proxy.enter(of, lease, use)).rejects.toThrow('away')
    await expect(proxy.useUp(use, of.tenant)).rejects.toThrow('away')
  }
  expect(proxy.isDegraded()).toBe(true)
  expect(await proxy.enter(of, 'bearer')).toMatchObject({ isLetIn: true })
  // Of a tenant that is counted in another place.
  expect(await proxy.enter(elsewhere, 'once', use)).toMatchObject({ isLetIn: true })
  const again = await proxy.enter(elsewhere, 'twice', use)
  expect(again).toMatchObject({ isLetIn: false, wasUsed: true })
  expect(proxy.recall(elsewhere)).toMatchObject({ balances: [{ minuteRequests: 1 }] })
})

test.each<['with' | 'without', OutageModes]>([
  ['with', { onFailure: 'local' }],
  ['without', { onFailure: 'refuse' }],
])(
  'of a request %s a proof that was counted and not let in no place remains',
  async (proof, modes) => {
    const { counters, shared, start } = startShared()
    const of = freshAccounts({ concurrency: 1, daily_requests: 9 })
    let isSilent = true
    const proxy = start(
      {
        async enter(accounts, lease, use) {
          const entered = await shared.enter(accounts, lease, use)
          if (isSilent) throw new Error('too late')
          return entered
        },
      },
      modes,
    )
    const use = (id: string) => (proof === 'with' ? { id, ttlSeconds: 60 } : undefined)
    await expect(proxy.enter(of, 'refused', use('first'))).rejects.toThrow()
    isSilent = false
    await waitUntil('they are shared again', async () => !proxy.isDegraded())
    expect(counters.read(of)).toMatchObject({ balances: [{ running: 0, dayRequests: 1 }] })
    expect(await proxy.enter(of, 'again', use('second'))).toMatchObject({ isLetIn: true })
  },
)

test('a proof that is waited for while they come back is counted with the others', async () => {
  const { away, counters, shared, start } = startShared()
  const of = freshAccounts({ rpm: 9 })
  const answered = Promise.withResolvers<void>()
  const proxy = start({
    async useUp(use, tenant) {
      await answered.promise
      return shared.useUp(use, tenant)
    },
  })
  away.add(of.tenant)
  await proxy.enter(of, 'alone')
  const entering = proxy.enter(of, 'waits', { id: 'proof', ttlSeconds: 60 })
  away.clear()
  await waitUntil('they are shared again', async () => !proxy.isDegraded())
  answered.resolve()
  expect(await entering).toMatchObject({ isLetIn: true })
  expect(counters.read(of)).toMatchObject({ balances: [{ minuteRequests: 1 }] })
})

describe('where single limits have a mode of their own', () => {
  test('each is counted alone, refused or not held as its mode says', async () => {
    const { away, start } = startShared()
    const onFailureOf = { daily_tokens: 'refuse', rpm: 'continue' } as const
    const proxy = start({}, { onFailureOf })
    const [budget, pace, both, daily] = [
      freshAccounts({ daily_tokens: 1000 }),
      freshAccounts({ rpm: 1 }),
      freshAccounts({ rpm: 1 }, { daily_tokens: 1000 }),
      freshAccounts({ daily_requests: 1 }),
    ]
    for (const of of [budget, pace, both, daily]) away.add(of.tenant)
    const enter = (of: Accounts, lease: string) => proxy.enter(of, lease)
    await expect(enter(budget, 'a')).rejects.toMatchObject({ reason: 'limits_unavailable' })
    await expect(enter(both, 'b')).rejects.toMatchObject({ reason: 'limits_unavailable' })
    for (const lease of ['c', 'd', 'e']) {
      expect(await enter(pace, lease)).toMatchObject({ isLetIn: true })
    }
    expect(await enter(daily, 'f')).toMatchObject({ isLetIn: true })
    expect(await enter(daily, 'g')).toMatchObject({ isLetIn: false })
  })

  test('one that is not held is never what a refusal names, nor what refuses at the turn', async () => {
    const { away, start } = startShared()
    const proxy = start({}, { onFailureOf: { daily_tokens: 'continue' } })
    const of = freshAccounts({ concurrency: 1, daily_tokens: 5 })
    away.add(of.tenant)
    expect(await proxy.enter(of, 'a')).toMatchObject({ isLetIn: true })
    proxy.leave(of, 'a', { ...served, tokens: 7 })
    const [left] = (await proxy.read(of)).balances
    expect(left?.dayTokens).toBe(7)
    expect(proxy.recall(of).balances).toMatchObject([{ dayTokens: 0 }])
    expect(await proxy.enter(of, 'b')).toMatchObject({ isLetIn: true })
    const refused = await proxy.enter(of, 'c')
    expect(refused).toMatchObject({ isLetIn: false, balances: [{ running: 1, dayTokens: 0 }] })
  })
})
