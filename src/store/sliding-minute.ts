/** How many requests there were in each second, oldest first, and when the last of them came. */
export type SlidingMinute = { seconds: CountedSecond[]; total: number }
type CountedSecond = { second: number; count: number; lastMs: number }

/** A second counts as long as its last request, so that in no 60 s, wherever they begin, more is let in than is counted. */
export const MINUTE_MS = 60_000

export const createSlidingMinute = (): SlidingMinute => ({ seconds: [], total: 0 })

/** Forgets what no longer counts; all of it after the clock was put back by more than a minute. */
export function forgetOld(minute: SlidingMinute, nowMs: number): void {
  const isFromLater = (minute.seconds.at(-1)?.lastMs ?? nowMs) > nowMs + MINUTE_MS
  while (minute.seconds[0] !== undefined) {
    const { lastMs, count } = minute.seconds[0]
    if (!isFromLater && lastMs + MINUTE_MS > nowMs) return
    minute.seconds.shift()
    minute.total -= count
  }
}

export function countOne(minute: SlidingMinute, nowMs: number): void {
  const second = Math.floor(nowMs / 1000)
  const last = minute.seconds.at(-1)
  if (last === undefined || last.second < second) {
    minute.seconds.push({ second, count: 1, lastMs: nowMs })
  } else {
    last.count += 1
    last.lastMs = Math.max(last.lastMs, nowMs)
  }
  minute.total += 1
}

/** In how many ms the oldest second no longer counts. */
export function freesInMs({ seconds }: SlidingMinute, nowMs: number): number {
  const [oldest] = seconds
  return oldest === undefined ? 0 : oldest.lastMs + MINUTE_MS - nowMs
}
