import type { Ring } from './ring.ts'

/** The key ring as it stands now, and word of every change. */
export type RingSource = {
  current: () => Ring
  /** Calls back after each change, until the function that it gives is called. */
  onChange: (listener: () => void) => () => void
}

/** A ring that stays as it is. */
export function fixedRing(ring: Ring): RingSource {
  return { current: () => ring, onChange: () => () => undefined }
}
