import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createLog } from '../../src/kernel/log.ts'
import { appendRevocation } from '../../src/revocations/append-revocation.ts'
import { followRevocations } from '../../src/revocations/follow-store.ts'
import type { LoggedRevocation } from '../../src/revocations/live-revocations.ts'
import { REVOCATIONS, revokeIssuedUpTo } from '../../src/revocations/revocation.ts'
import { waitUntil } from '../support/wait-until.ts'
import type { StoreUnderTest } from './store-contract.ts'

const log = createLog('silent')
const nowSeconds = () => Math.floor(Date.now() / 1000)
const tokenOf = (clientId: string) => ({
  jti: randomUUID(),
  clientId,
  subject: clientId,
  tenantId: 'default',
  kid: 'k',
  issuedAt: nowSeconds(),
})

/** What followers of the revocation log promise, on every store. */
export function describeRevocations(start: () => Promise<StoreUnderTest>): void {
  let opened: StoreUnderTest | undefined
  beforeAll(async () => {
    opened = await start()
  })
  afterAll(() => opened?.stop())
  const subject = () => {
    if (opened === undefined) throw new Error('the store did not start')
    return opened
  }
  const followed = (options: { clock?: () => number } = {}) =>
    followRevocations(subject().peer, { clock: Date.now, log, heartbeatMs: 50, ...options })

  test('a follower knows what was revoked before it came, and hears what is revoked then', async () => {
    const { store } = subject()
    const [before, after] = [tokenOf(randomUUID()), tokenOf(randomUUID())]
    await appendRevocation(store, revokeIssuedUpTo(nowSeconds(), 'client', before.clientId))
    const revocations = followed()
    expect(revocations.stalenessSeconds()).toBe(Infinity)
    await revocations.caughtUp
    expect(revocations.isRevoked(before)).toBe(true)
    expect(revocations.isRevoked(after)).toBe(false)
    await appendRevocation(store, { kind: 'jti', value: after.jti, exp: nowSeconds() + 900 })
    await waitUntil('the entry', async () => revocations.isRevoked(after), 250)
    revocations.close()
  })

  test('listeners get each entry once, with its id, when it already counts', async () => {
    const { store } = subject()
    const revocations = followed()
    await revocations.caughtUp
    const heard: (LoggedRevocation & { counts: boolean })[] = []
    const stop = revocations.onRevocation((news) => {
      for (const each of news) {
        const counts = revocations.isRevoked(tokenOf(each.entry.value))
        heard.push({ ...each, counts })
      }
    })
    const entry = revokeIssuedUpTo(nowSeconds(), 'client', randomUUID())
    const id = await appendRevocation(store, entry)
    await waitUntil('the entry', async () => heard.length > 0)
    stop()
    await appendRevocation(store, entry)
    await waitUntil('the second', async () => revocations.entries().at(-1)?.id !== id)
    expect(heard).toEqual([{ id, entry, counts: true }])
    expect(revocations.entries().map((each) => each.id)).toContain(id)
    revocations.close()
  })

  test('an entry that nobody understands does not keep the next from being heard', async () => {
    const { store } = subject()
    const revocations = followed()
    await revocations.caughtUp
    await store.append(REVOCATIONS, { kind: 'planet', value: 'earth', exp: 1 })
    const token = tokenOf(randomUUID())
    await appendRevocation(store, { kind: 'jti', value: token.jti, exp: nowSeconds() + 900 })
    await waitUntil('the entry', async () => revocations.isRevoked(token))
    expect(revocations.entries().map(({ entry }) => entry.value)).not.toContain('earth')
    revocations.close()
  })

  test('connections that break lose nothing', async () => {
    const { store, interrupt } = subject()
    const revocations = followed()
    await revocations.caughtUp
    await interrupt()
    const token = tokenOf(randomUUID())
    await waitUntil('an entry to be written', async () => {
      await appendRevocation(store, { kind: 'jti', value: token.jti, exp: nowSeconds() + 900 })
      return true
    })
    await waitUntil('the entry', async () => revocations.isRevoked(token))
    expect(revocations.isRevoked(tokenOf(randomUUID()))).toBe(false)
    revocations.close()
  })

  test('staleness grows with the clock, and each heartbeat ends it', async () => {
    const time = { now: Date.now() }
    const revocations = followed({ clock: () => time.now })
    await revocations.caughtUp
    expect(revocations.stalenessSeconds()).toBe(0)
    time.now += 3_000_000
    expect(revocations.stalenessSeconds()).toBe(3000)
    await waitUntil('a heartbeat', async () => revocations.stalenessSeconds() === 0)
    revocations.close()
    time.now += 5000
    expect(revocations.stalenessSeconds()).toBe(5)
  })
}
