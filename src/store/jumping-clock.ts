import type { Clock } from '../kernel/clock.ts'
import { dayOf } from './counters.ts'

/**
 * The same clock, watched: when it jumps over a day it may do so by mistake, so what `save` gives then is restored if it comes
 * back before its next day. One that goes on from day to day is believed.
 */
export function watchForJumps<T>(clock: Clock, save: () => T, restore: (saved: T) => void): Clock {
  let seenDay = dayOf(clock())
  let leftBehind: { from: number; to: number; saved: T } | undefined
  return () => {
    const nowMs = clock()
    const day = dayOf(nowMs)
    if (day > seenDay + 1) {
      leftBehind = { from: seenDay, saved: save(), ...leftBehind, to: day }
    } else if (leftBehind !== undefined && day !== leftBehind.to) {
      const { from, to, saved } = leftBehind
      if (day <= from + 1) restore(saved)
      leftBehind = day > from + 1 && day < to ? { ...leftBehind, to: day } : undefined
    }
    seenDay = day
    return nowMs
  }
}
