import { LRUCache } from 'lru-cache'
import { isIPv6 } from 'node:net'
import type { Clock } from '../kernel/clock.ts'
import { AppError } from '../kernel/errors.ts'

export type GuessLimits = {
  /**
   * Counts an attempt as failed and gives what takes that back. AppError `rate_limited` with `Retry-After` when
   * there were too many, before which nothing is counted.
   */
  count: (who: string, address: string) => () => void
}

/** One address tries many clients: that many times what it may try on one. */
const ADDRESS_FACTOR = 10
const WINDOW_MS = 60_000
const MAX_COUNTERS = 100_000

type Counter = { startedAtMs: number; failures: number }

/**
 * How often somebody may be wrong within a minute: `maxFailuresPerMinute` for one client or user from one address, ten
 * times that from one address for all together. Kept in memory, of bounded size, for this process.
 */
export function createGuessLimits(clock: Clock, maxFailuresPerMinute: number): GuessLimits {
  const counters = new LRUCache<string, Counter>({ max: MAX_COUNTERS })

  const counterOf = (key: string): Counter => {
    const known = counters.get(key)
    if (known !== undefined && clock() - known.startedAtMs < WINDOW_MS) return known
    const fresh = { startedAtMs: clock(), failures: 0 }
    counters.set(key, fresh)
    return fresh
  }

  return {
    count: (who, address) => {
      const origin = originOf(address)
      const limits: [Counter, number][] = [
        [counterOf(`${origin} ${who}`), maxFailuresPerMinute],
        [counterOf(origin), maxFailuresPerMinute * ADDRESS_FACTOR],
      ]
      const waitsMs = limits
        .filter(([{ failures }, max]) => failures >= max)
        .map(([{ startedAtMs }]) => startedAtMs + WINDOW_MS - clock())
      if (waitsMs.length > 0) throw tooMany(Math.max(...waitsMs))
      for (const [counter] of limits) counter.failures += 1
      return () => {
        for (const [counter] of limits) counter.failures -= 1
      }
    },
  }
}

/** Whoever has one IPv6 address usually has the /64 around it. */
function originOf(address: string): string {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1]
  if (mapped !== undefined || !isIPv6(address)) return mapped ?? address
  const [head = '', tail = ''] = address.split('%', 1)[0]?.split('::') ?? []
  const left = head === '' ? [] : head.split(':')
  const right = tail === '' ? [] : tail.split(':')
  const zeros = Array.from({ length: Math.max(0, 8 - left.length - right.length) }, () => '0')
  const groups = [...left, ...zeros, ...right].map((group) => group.replace(/^0+(?=.)/, ''))
  return `${groups.slice(0, 4).join(':')}::/64`
}

function tooMany(waitMs: number): AppError {
  const seconds = Math.max(1, Math.ceil(waitMs / 1000))
  return new AppError('rate_limited', `Too many failed attempts; wait ${seconds} s.`, {
    reason: 'too_many_failures',
    headers: { 'retry-after': String(seconds) },
  })
}
