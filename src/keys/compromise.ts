import { epochSeconds, type Clock } from '../kernel/clock.ts'
import { appendRevocation } from '../revocations/append-revocation.ts'
import type { LiveRevocations } from '../revocations/live-revocations.ts'
import { revokeKey } from '../revocations/revocation.ts'
import type { Store } from '../store/store.ts'
import { removeCompromised } from './lifecycle.ts'
import type { ChangeRing } from './ring-changes.ts'
import type { MakeKey, Ring } from './ring.ts'

export type CompromiseOptions = {
  store: Pick<Store, 'get' | 'commit' | 'append'>
  revocations: Pick<LiveRevocations, 'entries'>
  changeRing: ChangeRing
  makeKey: MakeKey
  clock: Clock
}

/** The kids that were compromised, for good: none of them may come back. */
const COMPROMISED = { name: 'compromised-keys', layout: 'scattered' } as const

export type Compromises = {
  /** Ends a key at once: its tokens are void first, then it leaves the ring and a fresh one takes its place. */
  compromise: (kid: string) => Promise<Ring>
  isCompromised: (kid: string) => Promise<boolean>
  /** The kid of a key of the ring whose compromise was begun and not finished, or that came back. */
  findUnfinished: (ring: Ring) => Promise<string | undefined>
}

/**
 * The order is what makes a crash harmless: once the log voids the key's tokens, and it says so for good, whoever looks
 * at the ring next takes the key out.
 */
export function createCompromises(options: CompromiseOptions): Compromises {
  const { store, revocations, changeRing, makeKey, clock } = options
  let sound: Ring | undefined

  const isCompromised = async (kid: string) => (await store.get(COMPROMISED, kid)) !== undefined

  return {
    isCompromised,

    async compromise(kid) {
      // Made first: between the revocation and the fresh key nobody gets a token that is good.
      const fresh = await makeKey()
      const now = epochSeconds(clock)
      await appendRevocation(store, revokeKey(now, kid))
      const value = { compromised_at: now }
      await store.commit(COMPROMISED, [
        { kind: 'put', id: kid, value, expect: 'any', lifetime: 'permanent' },
      ])
      return changeRing((ring) => removeCompromised(ring, kid, { fresh, now: epochSeconds(clock) }))
    },

    async findUnfinished(ring) {
      const voided = new Set(
        revocations
          .entries()
          .filter(({ entry }) => entry.kind === 'kid' && entry.issued_before === undefined)
          .map(({ entry }) => entry.value),
      )
      const known = ring.keys.find(({ kid }) => voided.has(kid))
      if (known !== undefined || ring === sound) return known?.kid
      for (const { kid } of ring.keys) if (await isCompromised(kid)) return kid
      sound = ring
      return undefined
    },
  }
}
