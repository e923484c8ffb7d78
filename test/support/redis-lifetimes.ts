import { expect } from 'vitest'
import { z } from 'zod'
import type { RedisServers } from './redis-server.ts'

/** What may stay until somebody deletes it: who may get tokens, the keys that sign or must not again, and the audit stream, which is capped. */
const STAYS = [
  /^gatehouse:record:\{registry\}:(tenant|client|client-of|user-of|gone)\//,
  /^gatehouse:record:\{registry\}:user:/,
  /^gatehouse:record:\{registry\}:format$/,
  /^gatehouse:(index|expiry):\{registry\}$/,
  /^gatehouse:record:(compromised-)?keys:/,
  /^gatehouse:journal:\{audit\}/,
]

const scanReply = z.tuple([z.string(), z.array(z.string())])

/** Every key on these servers with its remaining time in milliseconds, -1 for those without a TTL. */
export async function readLifetimes({ nodes }: RedisServers): Promise<Map<string, number>> {
  const lifetimes = new Map<string, number>()
  for (const { link } of nodes) {
    let cursor = '0'
    do {
      const reply = scanReply.parse(await link.send(['scan', cursor, 'count', 1000]))
      cursor = reply[0]
      await Promise.all(
        reply[1].map(async (key) => lifetimes.set(key, Number(await link.send(['pttl', key])))),
      )
    } while (cursor !== '0')
  }
  return lifetimes
}

/** The keys that are there for ever and should not be. */
export async function findLeftovers(servers: RedisServers): Promise<string[]> {
  return [...(await readLifetimes(servers))]
    .filter(([key, ttlMs]) => ttlMs === -1 && !STAYS.some((pattern) => pattern.test(key)))
    .map(([key]) => key)
}

/** Fails when there are any. To be called when a test has done all that it does. */
export async function expectLifetimes(servers: RedisServers): Promise<void> {
  expect(await findLeftovers(servers)).toEqual([])
}
