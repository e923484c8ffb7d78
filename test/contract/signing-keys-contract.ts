import { randomBytes } from 'node:crypto'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { Clock } from '../../src/kernel/clock.ts'
import { createLog } from '../../src/kernel/log.ts'
import { openKeyRecords } from '../../src/keys/document-place.ts'
import { createKeyDocuments } from '../../src/keys/key-documents.ts'
import { openLiveRing, type LiveRing } from '../../src/keys/live-ring.ts'
import { generateSigningKey } from '../../src/keys/ring-file.ts'
import { openRingStore } from '../../src/keys/ring-store.ts'
import { activeKey, nextKey, type Ring } from '../../src/keys/ring.ts'
import { sealingKeysOf } from '../../src/keys/sealing.ts'
import { createSigningKeys, type SigningKeys } from '../../src/keys/signing-keys.ts'
import { followRevocations, type FollowedRevocations } from '../../src/revocations/follow-store.ts'
import { REVOCATIONS, revocationSchema } from '../../src/revocations/revocation.ts'
import type { Store } from '../../src/store/store.ts'
import type { OpenedStore } from '../support/stores.ts'
import { waitUntil } from '../support/wait-until.ts'

const log = createLog('silent')
const policy = { jwksMaxAgeSeconds: 300, tokenLifetimeSeconds: 1860, rotateEverySeconds: 86_400 }
const makeKey = () => generateSigningKey(2048)
const encryptionKey = randomBytes(32).toString('base64')

/** What may be done with the signing keys, by several issuers on one store, on every store. */
export function describeSigningKeys(openStore: (clock: Clock) => Promise<OpenedStore>): void {
  let now = 1_700_000_000_000
  const clock = () => now
  let opened: OpenedStore
  let revocations: FollowedRevocations
  const open: LiveRing[] = []
  beforeEach(async () => {
    opened = await openStore(clock)
    revocations = followRevocations(opened.store, { clock, log, heartbeatMs: 50 })
    await revocations.caughtUp
  })
  afterEach(async () => {
    for (const live of open.splice(0)) live.close()
    revocations.close()
    await opened.stop()
  })

  /** Another issuer on the same store. */
  async function startInstance(store: Store = opened.store): Promise<SigningKeys> {
    const documents = createKeyDocuments(openKeyRecords(store), sealingKeysOf({ encryptionKey }))
    const ring = await openRingStore(documents, { makeKey, clock })
    const live = await openLiveRing(ring, log)
    open.push(live)
    const parts = { store, documents, ring, live, revocations, policy, makeKey, clock, log }
    return createSigningKeys(parts)
  }

  const kidOfNext = async (keys: SigningKeys) => nextKey(await keys.list())?.kid
  const kidOfActive = async (keys: SigningKeys) => activeKey(await keys.list()).kid
  const loggedKids = async () =>
    (await opened.store.read(REVOCATIONS, { limit: 100 })).map(({ value }) => value)

  test('rotating is refused with the time left until the next key is old enough, then done at once', async () => {
    const keys = await startInstance()
    const next = await kidOfNext(keys)
    await expect(keys.rotate()).rejects.toMatchObject({
      code: 'too_early',
      headers: { 'retry-after': '601' },
    })
    now += 600_000
    await expect(keys.rotate()).rejects.toMatchObject({ headers: { 'retry-after': '1' } })
    now += 1000
    expect(activeKey(await keys.rotate()).kid).toBe(next)
  })

  test('a rotation that is asked for early is done by the clock, once, whoever is left', async () => {
    const [first, second] = [await startInstance(), await startInstance()]
    const next = await kidOfNext(first)
    await first.rotateWhenReady()
    now += 600_000
    expect(await second.tick()).toBe(false)
    now += 1000
    const done = await Promise.all([first.tick(), second.tick()])
    expect(done.filter(Boolean)).toHaveLength(1)
    expect(await kidOfActive(second)).toBe(next)
  })

  test('of many who rotate at the same time one does, and the others hear that it is too early', async () => {
    const instances = [await startInstance(), await startInstance()]
    now += 601_000
    const outcomes = await Promise.allSettled(
      instances.flatMap(({ rotate }) => [rotate(), rotate()]),
    )
    expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
    const reasons = outcomes.flatMap((each) => (each.status === 'rejected' ? [each.reason] : []))
    expect(reasons).toEqual(reasons.map(() => expect.objectContaining({ code: 'too_early' })))
  })

  test.each(['active', 'next', 'retiring'] as const)(
    'a stolen %s key is out at once, and every token of it is void, those made later too',
    async (state) => {
      const keys = await startInstance()
      now += 601_000
      const before = await keys.rotate()
      const stolen = before.keys.find((key) => key.state === state)?.kid ?? ''
      const after = await keys.compromise(stolen)
      expect(after.keys.map(({ kid }) => kid)).not.toContain(stolen)
      expect(after.keys.filter((key) => key.state === 'active')).toHaveLength(1)
      expect(after.keys.filter((key) => key.state === 'next')).toHaveLength(1)
      const isFresh = !before.keys.some(({ kid }) => kid === activeKey(after).kid)
      expect(isFresh).toBe(state === 'active')
      expect(await loggedKids()).toEqual([{ kind: 'kid', value: stolen, exp: now / 1000 + 1800 }])
      // Whoever lost the answer may ask again; nobody else's key is touched.
      expect(await keys.compromise(stolen)).toEqual(after)
      await expect(keys.compromise('another-kid')).rejects.toMatchObject({ code: 'not_found' })
    },
  )

  test('a compromise that ends between any two steps is finished by whoever is left', async () => {
    for (const writes of [1, 2]) {
      const survivor = await startInstance()
      const stolen = await kidOfActive(survivor)
      const crashing = await startInstance(failingAfter(writes))
      await expect(crashing.compromise(stolen)).rejects.toThrow('crash')
      expect(await kidOfActive(survivor)).toBe(stolen)
      expect(await loggedKids()).toContainEqual(expect.objectContaining({ value: stolen }))
      await waitUntil('the log', async () =>
        revocations.entries().some(({ entry }) => entry.value === stolen),
      )
      expect(await survivor.tick()).toBe(true)
      expect((await survivor.list()).keys.map(({ kid }) => kid)).not.toContain(stolen)
      expect(await survivor.tick()).toBe(false)
    }
  })

  test('a compromised key that comes back with an old copy of the ring is taken out again', async () => {
    const keys = await startInstance()
    const copy = await opened.store.get({ name: 'keys', layout: 'scattered' }, 'ring.json')
    const stolen = await kidOfActive(keys)
    await keys.compromise(stolen)
    // Long after the log has forgotten it.
    now += 4_000_000
    const value = copy?.value
    await opened.store.commit({ name: 'keys', layout: 'scattered' }, [
      { kind: 'put', id: 'ring.json', value, expect: 'any', lifetime: 'permanent' },
    ])
    const restarted = await startInstance()
    expect(await kidOfActive(restarted)).toBe(stolen)
    expect(await restarted.tick()).toBe(true)
    expect((await restarted.list()).keys.map(({ kid }) => kid)).not.toContain(stolen)
  })

  test('whatever one of two issuers does, and wherever it dies, the other one goes on with a ring that is whole', async () => {
    const steps: [string, (keys: SigningKeys, ring: Ring) => Promise<unknown>][] = [
      ['rotate', (keys) => keys.rotate()],
      ['want', (keys) => keys.rotateWhenReady()],
      ['tick', (keys) => keys.tick()],
      ['compromise active', (keys, ring) => keys.compromise(activeKey(ring).kid)],
      ['compromise next', (keys, ring) => keys.compromise(nextKey(ring)?.kid ?? '')],
    ]
    const survivor = await startInstance()
    for (const [name, step] of steps) {
      for (const writes of [0, 1, 2, 3]) {
        const before = await survivor.list()
        now += 601_000
        const dying = await startInstance(failingAfter(writes))
        const rival = writes % 2 === 0 ? survivor.rotate() : survivor.tick()
        await Promise.allSettled([step(dying, before), rival])
        const logged = (await loggedKids()).map((entry) => revocationSchema.parse(entry))
        await waitUntil('the log', async () => {
          const heard = new Set(revocations.entries().map(({ entry }) => entry.value))
          return logged.every(({ exp, value }) => exp < now / 1000 || heard.has(value))
        })
        for (let ticks = 0; (await survivor.tick()) && ticks < 5; ticks += 1);
        const { keys } = await survivor.list()
        const states = keys.map(({ state }) => state)
        const signing = states.filter((state) => state !== 'retiring')
        expect([name, writes, ...signing.toSorted()]).toEqual([name, writes, 'active', 'next'])
        const isVoid = (kid: string) => logged.some(({ value }) => value === kid)
        expect(keys.filter(({ kid }) => isVoid(kid))).toEqual([])
        // What could have signed a token that is alive still verifies it.
        const had = before.keys.flatMap((key) => (key.state === 'active' ? [key.kid] : []))
        expect(keys.map(({ kid }) => kid)).toEqual(
          expect.arrayContaining(had.filter((kid) => !isVoid(kid))),
        )
        expect(await survivor.tick()).toBe(false)
      }
    }
  })

  /** A store whose process dies after so many writes of a compromise. */
  function failingAfter(writes: number): Store {
    let left = writes
    const write = () => {
      if (left === 0) throw new Error('crash')
      left -= 1
    }
    return {
      ...opened.store,
      append: async (journal, value) => {
        write()
        return opened.store.append(journal, value)
      },
      commit: async (collection, changes) => {
        write()
        return opened.store.commit(collection, changes)
      },
    }
  }
}
