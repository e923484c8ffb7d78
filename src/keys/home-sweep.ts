import { epochSeconds, type Clock } from '../kernel/clock.ts'
import type { Log } from '../kernel/log.ts'
import type { KeyHome } from './key-home.ts'
import { keysOfHome, type Ring } from './ring.ts'

/** In which a key that was just made gets into the ring, whatever is slow. */
const GRACE_SECONDS = 600
const INTERVAL_MS = 60_000

export type HomeSweepOptions = {
  home: KeyHome
  /** As it is kept now: an older one would lack keys that are in use. */
  loadRing: () => Promise<Ring>
  clock: Clock
  log: Log
}

/**
 * Destroys what a home still has of keys that will not sign any more, whoever has retired them and however that ended:
 * also keys that were made for a step that another issuer took.
 */
export async function sweepHome({ home, loadRing, clock, log }: HomeSweepOptions): Promise<void> {
  // In this order, a key is either not in the list yet or has had its time to get into the ring.
  const found = await home.list()
  const needed = new Set(keysOfHome(await loadRing(), home.name))
  const now = epochSeconds(clock)
  for (const { keyId, madeAt } of found) {
    if (needed.has(keyId) || now < madeAt + GRACE_SECONDS) continue
    await home.destroy(keyId)
    log.info({ event: 'keys.destroyed', target: keyId }, 'destroyed a private key in its home')
  }
}

/** Sweeps at once and every minute. Gives the function that stops it. */
export function scheduleSweep(options: HomeSweepOptions): () => void {
  const sweep = () => {
    sweepHome(options).catch((error: unknown) =>
      options.log.error({ event: 'keys.sweep_failed', err: error }, 'the key home was not swept'),
    )
  }
  sweep()
  const timer = setInterval(sweep, INTERVAL_MS)
  return () => clearInterval(timer)
}
