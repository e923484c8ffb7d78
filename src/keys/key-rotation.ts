import { epochSeconds, type Clock } from '../kernel/clock.ts'
import type { Log } from '../kernel/log.ts'
import { dropRetired, dueStep, promoteNext, stageNext, type KeyPolicy } from './lifecycle.ts'
import type { LiveRing } from './live-ring.ts'
import { activeKey, type FreshKey, type MakeKey, type Ring } from './ring.ts'
import type { RingStore } from './ring-store.ts'

export type KeyRotationOptions = {
  store: RingStore
  live: LiveRing
  policy: KeyPolicy
  makeKey: MakeKey
  clock: Clock
  log: Log
}

/**
 * Takes the step that time asks for, if any, and gives whether it was taken here. Of several issuers one does each
 * step: the others have lost the compare-and-set, and look again.
 */
export async function takeDueStep(options: KeyRotationOptions): Promise<boolean> {
  const { store, live, policy, clock, log } = options
  const step = dueStep(live.current(), epochSeconds(clock), policy)
  if (step === undefined) return false
  // Making a key takes a while: the time that counts is the one after it.
  const fresh = step === 'drop' ? undefined : await options.makeKey()
  const from = await store.load()
  const to = afterDueStep(from, fresh, { now: epochSeconds(clock), policy })
  const isDone = to !== from && (await store.replace(from, to))
  await live.look()
  if (isDone) log.info({ event: 'keys.changed', kid: activeKey(to).kid }, 'the key ring changed')
  return isDone
}

function afterDueStep(
  ring: Ring,
  fresh: FreshKey | undefined,
  { now, policy }: { now: number; policy: KeyPolicy },
): Ring {
  const { jwksMaxAgeSeconds, tokenLifetimeSeconds } = policy
  const step = dueStep(ring, now, policy)
  if (step === 'drop') return dropRetired(ring, now, tokenLifetimeSeconds)
  // Somebody else has dropped it meanwhile: what is due now has its own turn.
  if (step === undefined || fresh === undefined) return ring
  return step === 'stage'
    ? stageNext(ring, fresh, now)
    : (promoteNext(ring, fresh, { now, jwksMaxAgeSeconds }) ?? ring)
}

const INTERVAL_MS = 1000

/** Asks every second what there is to do. Gives the function that stops it. */
export function scheduleRotation({
  tick,
  log,
}: {
  tick: () => Promise<boolean>
  log: Log
}): () => void {
  let isBusy = false
  const timer = setInterval(() => {
    if (isBusy) return
    isBusy = true
    tick()
      .catch((error: unknown) =>
        log.error({ event: 'keys.step_failed', err: error }, 'the key ring did not change'),
      )
      .finally(() => {
        isBusy = false
      })
  }, INTERVAL_MS)
  return () => clearInterval(timer)
}
