import fc from 'fast-check'
import { expect, test } from 'vitest'
import { createLog } from '../../src/kernel/log.ts'
import { sweepHome } from '../../src/keys/home-sweep.ts'
import { promoteNext, removeCompromised } from '../../src/keys/lifecycle.ts'
import { activeKey, createRing, keysOfHome, type Ring } from '../../src/keys/ring.ts'
import { makeFakeKey } from '../support/ring-keys.ts'

const log = createLog('silent')

/** A home that does no arithmetic. */
function createHome(now: () => number) {
  const kept = new Map<string, number>()
  let made = 0
  return {
    name: 'fake',
    kept,
    async makeKey() {
      const keyId = String((made += 1))
      kept.set(keyId, now())
      const { kid, publicJwk } = makeFakeKey(`kid-${keyId}`)
      return { kid, publicJwk, home: { name: 'fake', keyId } }
    },
    sign: async () => new Uint8Array(),
    list: async () => [...kept].map(([keyId, madeAt]) => ({ keyId, madeAt })),
    destroy: async (keyId: string) => void kept.delete(keyId),
    close: async () => undefined,
  }
}

test('whatever happens to the ring, no key that signs or will is destroyed, and of the others none is left', async () => {
  const step = fc.record({
    what: fc.constantFrom('promote', 'compromise', 'make in vain'),
    waitSeconds: fc.nat(2000),
  })
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 20 }), async (steps) => {
      let now = 1_700_000_000
      const home = createHome(() => now)
      let ring: Ring = createRing(await home.makeKey(), await home.makeKey(), now)
      const sweep = () =>
        sweepHome({ home, loadRing: async () => ring, clock: () => now * 1000, log })
      for (const { what, waitSeconds } of steps) {
        now += waitSeconds
        const fresh = await home.makeKey()
        // A sweep of another issuer, before the new key is in the ring.
        await sweep()
        if (what === 'promote') {
          ring = promoteNext(ring, fresh, { now, jwksMaxAgeSeconds: 300 }) ?? ring
        } else if (what === 'compromise') {
          ring = removeCompromised(ring, activeKey(ring).kid, { fresh, now })
        }
        await sweep()
        expect([...home.kept.keys()]).toEqual(expect.arrayContaining(keysOfHome(ring, 'fake')))
      }
      now += 600
      await sweep()
      expect([...home.kept.keys()].toSorted()).toEqual(keysOfHome(ring, 'fake').toSorted())
    }),
  )
})
