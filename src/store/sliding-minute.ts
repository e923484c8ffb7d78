/** How many requests there were in the seconds of the last minute, oldest first. */
export type SlidingMinute = { seconds: { second: number; count: number }[]; total: number }

/** A second counts until 60 s after its end, so that in no 60 s, wherever they begin, more is let in than is counted. */
export const SECONDS_COUNTED = 61

export const createSlidingMinute = (): SlidingMinute => ({ seconds: [], total: 0 })

/** Forgets what no longer counts; all of it after the clock was put back by more than a minute. */
export function forgetOld(minute: SlidingMinute, nowMs: number): void {
  const now = Math.floor(nowMs / 1000)
  const isFromLater = (minute.seconds.at(-1)?.second ?? now) > now + SECONDS_COUNTED
  while (minute.seconds[0] !== undefined) {
    const { second, count } = minute.seconds[0]
    if (!isFromLater && second > now - SECONDS_COUNTED) return
    minute.seconds.shift()
    minute.total -= count
  }
}

export function countOne(minute: SlidingMinute, nowMs: number): void {
  const now = Math.floor(nowMs / 1000)
  const last = minute.seconds.at(-1)
  if (last !== undefined && last.second >= now) last.count += 1
  else minute.seconds.push({ second: now, count: 1 })
  minute.total += 1
}

/** In how many ms the oldest second no longer counts. */
export function freesInMs({ seconds }: SlidingMinute, nowMs: number): number {
  const [oldest] = seconds
  return oldest === undefined ? 0 : (oldest.second + SECONDS_COUNTED) * 1000 - nowMs
}
