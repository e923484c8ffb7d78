import { LRUCache } from 'lru-cache'
import { isIPv6 } from 'node:net'
import type { Clock } from '../kernel/clock.ts'
import { AppError } from '../kernel/errors.ts'

export type GuessLimits = {
  /**
   * Lets an attempt begin; what it gives is called with how it ended. AppError `rate_limited` with `Retry-After` when
   * there were too many failures, or too many are under way.
   */
  begin: (who: string, address: string) => (outcome: Outcome) => void
}

/** `unknown`: nobody found out, so it was no guess. */
export type Outcome = 'right' | 'wrong' | 'unknown'

const WINDOW_MS = 60_000
/** One address may be wrong about two clients to the end, in a fifth of the time: its work comes in small portions. */
const ADDRESS_FACTOR = 2
const ADDRESS_WINDOW_MS = WINDOW_MS / 5
/** So that one address cannot take all places in the line for argon2. */
const MAX_UNDER_WAY = 32
const MAX_COUNTERS = 100_000

type Window = { windowMs: number; max: number }
type Counter = { startedAtMs: number; failures: number }

/**
 * How often somebody may be wrong: `maxFailuresPerMinute` about one client or user from one address, and ten times that
 * from one address about all together. What is under way counts as a failure for the former, so that many at once
 * are no more than many in turn. Kept in memory, of bounded size, for this process.
 */
export function createGuessLimits(clock: Clock, maxFailuresPerMinute: number): GuessLimits {
  const counters = new LRUCache<string, Counter>({ max: MAX_COUNTERS })
  const underWay = new Map<string, number>()
  const ofOne = { windowMs: WINDOW_MS, max: maxFailuresPerMinute }
  const ofAnyone = {
    windowMs: ADDRESS_WINDOW_MS,
    max: maxFailuresPerMinute * ADDRESS_FACTOR,
  }

  const openCounter = (key: string, { windowMs, max }: Window): Counter => {
    const known = counters.get(key)
    const isOpen = known !== undefined && clock() - known.startedAtMs < windowMs
    const counter = isOpen ? known : { startedAtMs: clock(), failures: 0 }
    if (counter.failures >= max) {
      throw tooMany(counter.startedAtMs + windowMs - clock())
    }
    if (!isOpen) counters.set(key, counter)
    return counter
  }

  return {
    begin: (who, address) => {
      const origin = originOf(address)
      const running = underWay.get(origin) ?? 0
      if (running >= MAX_UNDER_WAY) throw tooMany(1000)
      const ofAddress = openCounter(origin, ofAnyone)
      const ofClient = openCounter(`${origin} ${who}`, ofOne)
      ofClient.failures += 1
      underWay.set(origin, running + 1)
      return (outcome) => {
        const others = (underWay.get(origin) ?? 1) - 1
        if (others > 0) underWay.set(origin, others)
        else underWay.delete(origin)
        if (outcome === 'wrong') ofAddress.failures += 1
        else ofClient.failures -= 1
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
