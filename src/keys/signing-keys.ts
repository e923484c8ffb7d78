import { epochSeconds, type Clock } from '../kernel/clock.ts'
import { AppError } from '../kernel/errors.ts'
import type { Log } from '../kernel/log.ts'
import type { LiveRevocations } from '../revocations/live-revocations.ts'
import type { Store } from '../store/store.ts'
import { createCompromises } from './compromise.ts'
import type { KeyDocuments } from './key-documents.ts'
import { takeDueStep } from './key-rotation.ts'
import { promotableAt, promoteNext, stageNext, wantNext, type KeyPolicy } from './lifecycle.ts'
import type { LiveRing } from './live-ring.ts'
import { createRingChanges } from './ring-changes.ts'
import { nextKey, type MakeKey, type Ring } from './ring.ts'
import type { RingStore } from './ring-store.ts'

export type SigningKeysOptions = {
  store: Pick<Store, 'get' | 'commit' | 'append'>
  documents: Pick<KeyDocuments, 'reseal'>
  ring: RingStore
  live: LiveRing
  revocations: Pick<LiveRevocations, 'entries'>
  policy: KeyPolicy
  makeKey: MakeKey
  clock: Clock
  log: Log
}

/** What can be done with the signing keys, whoever asks: the admin API, or the clock. */
export type SigningKeys = {
  policy: KeyPolicy
  list: () => Promise<Ring>
  /** Publishes a key ahead, unless one is. */
  stage: () => Promise<Ring>
  /** Makes `next` sign now. AppError `too_early`, with the time left, while it was not published for long enough. */
  rotate: () => Promise<Ring>
  /** The same as soon as it may: by this call, or else by the clock. */
  rotateWhenReady: () => Promise<Ring>
  /** Ends a key and all of its tokens. AppError `not_found` for one that never was in the ring or has left it. */
  compromise: (kid: string) => Promise<Ring>
  /** Seals everything with the current key. False when all of it was already. */
  reseal: () => Promise<boolean>
  /** Does the one thing that time, or a compromise that was interrupted, asks for. Whether it was done here. */
  tick: () => Promise<boolean>
}

/** Several instances may do this at the same time: each change takes place once. */
export function createSigningKeys(options: SigningKeysOptions): SigningKeys {
  const { documents, ring, live, policy, makeKey, clock, log } = options
  const { jwksMaxAgeSeconds } = policy
  const changeRing = createRingChanges(options)
  const compromises = createCompromises({ ...options, changeRing })
  const now = () => epochSeconds(clock)

  return {
    policy,
    list: ring.load,

    async stage() {
      const fresh = await makeKey()
      return changeRing((from) => stageNext(from, fresh, now()))
    },

    async rotate() {
      const following = await makeKey()
      return changeRing((from) => {
        const to = promoteNext(from, following, { now: now(), jwksMaxAgeSeconds })
        if (to === undefined) throw tooEarly(from, { now: now(), jwksMaxAgeSeconds })
        return to
      })
    },

    async rotateWhenReady() {
      const following = await makeKey()
      return changeRing(
        (from) =>
          promoteNext(from, following, { now: now(), jwksMaxAgeSeconds }) ??
          wantNext(stageNext(from, following, now()), now()),
      )
    },

    async compromise(kid) {
      const isThere = (await ring.load()).keys.some((key) => key.kid === kid)
      // Whoever repeats it after a lost answer hears that it is done.
      if (!isThere && (await compromises.isCompromised(kid))) return ring.load()
      if (!isThere) throw new AppError('not_found', 'There is no such key in the ring.')
      log.warn({ event: 'keys.compromised', kid }, 'a key is taken out, its tokens are void')
      return compromises.compromise(kid)
    },

    async reseal() {
      let isChanged = false
      for (const name of ['secrets.json', 'ring.json'] as const) {
        let outcome = await documents.reseal(name)
        while (outcome === 'lost') outcome = await documents.reseal(name)
        isChanged ||= outcome === 'resealed'
      }
      return isChanged
    },

    async tick() {
      const unfinished = await compromises.findUnfinished(live.current())
      if (unfinished === undefined) return takeDueStep({ ...options, store: ring })
      log.warn({ event: 'keys.compromised', kid: unfinished }, 'finishing a compromise')
      await compromises.compromise(unfinished)
      return true
    },
  }
}

function tooEarly(
  ring: Ring,
  { now, jwksMaxAgeSeconds }: { now: number; jwksMaxAgeSeconds: number },
) {
  const next = nextKey(ring)
  const readyAt =
    next === undefined ? now + 2 * jwksMaxAgeSeconds : promotableAt(next, jwksMaxAgeSeconds)
  const seconds = Math.max(1, readyAt - now)
  return new AppError('too_early', `The next key may sign in ${seconds} s.`, {
    headers: { 'retry-after': String(seconds) },
  })
}
