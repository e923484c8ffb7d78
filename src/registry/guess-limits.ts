import { LRUCache } from 'lru-cache'
import { isIPv6 } from 'node:net'
import type { Clock } from '../kernel/clock.ts'
import { AppError } from '../kernel/errors.ts'

export type GuessLimits = {
  /** Fails as `begin` would now, and counts nothing. */
  requireRoom: (who: string, address: string) => void
  /**
   * Lets an attempt begin; what it gives is called with how it ended. AppError `rate_limited` with `Retry-After` when
   * there were too many failures, or too many are under way.
   */
  begin: (who: string, address: string) => (outcome: Outcome) => void
}

/** `unknown`: nobody found out, so it was no guess. */
export type Outcome = 'right' | 'wrong' | 'unknown'

const WINDOW_MS = 60_000
/** From one address about all together: so many times what it may be wrong about one, at once and per minute. */
const ADDRESS_BURST_FACTOR = 5
const ADDRESS_RATE_FACTOR = 10
/** So that one address cannot take all places in the line for argon2. */
const MAX_UNDER_WAY = 32
const MAX_REMEMBERED = 100_000

type Window = { startedAtMs: number; failures: number }
/** A leaky bucket: `level` is how many failures were in it at `atMs`. */
type Bucket = { atMs: number; level: number }

/**
 * How often somebody may be wrong: `maxFailuresPerMinute` about one client or user from one address, where what is under
 * way counts as a failure, so that many at once are no more than many in turn. And ten times that from one address about
 * all together, steadily, so that the work comes in small portions and a neighbour soon has a turn. Kept in memory, of
 * bounded size, for this process.
 */
export function createGuessLimits(clock: Clock, maxFailuresPerMinute: number): GuessLimits {
  const windows = new LRUCache<string, Window>({ max: MAX_REMEMBERED })
  const buckets = new LRUCache<string, Bucket>({ max: MAX_REMEMBERED })
  const underWay = new Map<string, number>()
  const burst = maxFailuresPerMinute * ADDRESS_BURST_FACTOR
  const leakPerMs = (maxFailuresPerMinute * ADDRESS_RATE_FACTOR) / WINDOW_MS

  /** Undefined when there is none, or its time is over. */
  const findWindow = (key: string): Window | undefined => {
    const known = windows.get(key)
    return known !== undefined && clock() - known.startedAtMs < WINDOW_MS ? known : undefined
  }

  const openWindow = (key: string): Window => {
    const fresh = { startedAtMs: clock(), failures: 0 }
    windows.set(key, fresh)
    return fresh
  }

  const levelOf = (origin: string): number => {
    const { atMs, level } = buckets.get(origin) ?? { atMs: 0, level: 0 }
    return Math.max(0, level - (clock() - atMs) * leakPerMs)
  }

  const requireRoom = (who: string, origin: string): void => {
    if ((underWay.get(origin) ?? 0) >= MAX_UNDER_WAY) throw tooMany(1000)
    const excess = levelOf(origin) + 1 - burst
    if (excess > 0) throw tooMany(excess / leakPerMs)
    const window = findWindow(keyOf(who, origin))
    if (window === undefined || window.failures < maxFailuresPerMinute) return
    throw tooMany(window.startedAtMs + WINDOW_MS - clock())
  }

  const track = (origin: string, change: 1 | -1): void => {
    const running = (underWay.get(origin) ?? 0) + change
    if (running > 0) underWay.set(origin, running)
    else underWay.delete(origin)
  }

  return {
    requireRoom: (who, address) => requireRoom(who, originOf(address)),
    begin: (who, address) => {
      const origin = originOf(address)
      requireRoom(who, origin)
      const key = keyOf(who, origin)
      const window = findWindow(key) ?? openWindow(key)
      window.failures += 1
      track(origin, 1)
      return (outcome) => {
        track(origin, -1)
        if (outcome !== 'wrong') window.failures -= 1
        else buckets.set(origin, { atMs: clock(), level: levelOf(origin) + 1 })
      }
    },
  }
}

const keyOf = (who: string, origin: string): string => `${origin} ${who}`

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
