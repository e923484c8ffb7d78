import { hash } from 'node:crypto'
import { z } from 'zod'
import type { Clock } from '../kernel/clock.ts'
import {
  dayOf,
  LIMIT_NAMES,
  requestsChange,
  type Accounts,
  type Balance,
  type LeasedCounters,
  type SingleUse,
  type Standing,
} from './counters.ts'
import { ENTER, LEAVE, PROBE, READ, RENEW, WAS_USED } from './redis-counter-scripts.ts'
import { createRedisLink, type RedisScript } from './redis-link.ts'
import type { RedisArgument } from './redis.ts'
import type { RedisTarget } from './redis-url.ts'

export type RedisCountersOptions = {
  target: RedisTarget
  keyPrefix: string
  /** How long a call may take before it fails: a request waits for it. */
  deadlineMs: number
  /** Instead of the server's own time, which is the same for all who count. */
  clock?: Clock
}

/** A request that is not renewed for so long has ended with its process. */
const LEASE_MS = 60_000

const standingReply = z.tuple([z.number(), z.number()], z.number())

/**
 * Counters that all processes on one Redis share, one script for each call. Nothing is confirmed by replicas: a failover
 * may forget the requests of its last moments.
 */
export function openRedisCounters(
  options: RedisCountersOptions,
): LeasedCounters & { close: () => void } {
  const { keyPrefix, clock } = options
  const link = createRedisLink(options)

  const run = (
    script: RedisScript,
    of: Accounts,
    lease: string,
    more: { keys?: string[]; args?: RedisArgument[] } = {},
  ): Promise<unknown> =>
    link.run({
      script,
      keys: [...keysOf(keyPrefix, of), ...(more.keys ?? [])],
      args: [clock?.() ?? '', lease, LEASE_MS, ...quotasOf(of), ...(more.args ?? [])],
    })

  function enter(of: Accounts, lease: string, use: SingleUse | undefined): Promise<unknown> {
    if (use === undefined) return run(ENTER, of, lease)
    const key = `${placeOf(keyPrefix, of.tenant)}used:${digest(use.id)}`
    return run(ENTER, of, lease, { keys: [key], args: [use.ttlSeconds * 1000] })
  }

  return {
    async enter(of, lease, use) {
      const reply = standingReply.parse(await enter(of, lease, use))
      const wasUsed = reply[0] === WAS_USED
      return { isLetIn: reply[0] === 1, ...toStanding(reply), ...(wasUsed ? { wasUsed } : {}) }
    },
    async useUp(use, tenant) {
      const [first] = standingReply.parse(await enter({ tenant, accounts: [] }, '', use))
      return first !== WAS_USED
    },
    async renew(of, lease) {
      await run(RENEW, of, lease)
    },
    async probe({ tenant }) {
      await link.run({ script: PROBE, keys: [`${placeOf(keyPrefix, tenant)}probe`], args: [] })
    },
    async leave(of, lease, how) {
      const { tokens, isCut, enteredAtMs } = how
      const args = [tokens ?? '', isCut === true ? 1 : 0, requestsChange(how), dayOf(enteredAtMs)]
      await run(LEAVE, of, lease, { args })
    },
    async read(of) {
      return toStanding(standingReply.parse(await run(READ, of, '')))
    },
    close: link.close,
  }
}

/** What is in the names is hashed: it may be anything, of any length, and need not be read in Redis. */
const digest = (text: string): string => hash('sha256', text, 'base64url')

/** One tenant, one slot. */
const placeOf = (keyPrefix: string, tenant: string): string =>
  `${keyPrefix}limits:{${digest(tenant)}}:`

function keysOf(keyPrefix: string, { tenant, accounts }: Accounts): string[] {
  const own = placeOf(keyPrefix, tenant)
  return accounts.flatMap(({ id }) => {
    const account = digest(id)
    return [`${own}minute:${account}`, `${own}leases:${account}`, `${own}day:${account}`]
  })
}

const quotasOf = ({ accounts }: Accounts): RedisArgument[] =>
  accounts.flatMap(({ quota }) => LIMIT_NAMES.map((name) => quota[name] ?? ''))

function toStanding([, atMs, ...flat]: z.infer<typeof standingReply>): Standing {
  const balances: Balance[] = []
  for (let at = 0; at < flat.length; at += 8) {
    const [
      minuteRequests = 0,
      minuteFreesInMs = 0,
      running = 0,
      dayRequests = 0,
      dayTokens = 0,
      daySettled = 0,
      meanBefore = 0,
      reservedTokens = 0,
    ] = flat.slice(at, at + 8)
    balances.push({
      minuteRequests,
      minuteFreesInMs,
      running,
      dayRequests,
      dayTokens,
      daySettled,
      meanBefore,
      reservedTokens,
    })
  }
  return { atMs, balances }
}
