import { z } from 'zod'
import { createRedisJournals } from './redis-journal.ts'
import { createRedisRecords } from './redis-records.ts'
import { createRedisLink, type RedisLink, type ScriptCall } from './redis-link.ts'
import { createRedisWriters, type RedisWriters } from './redis-writers.ts'
import type { RedisTls } from './redis.ts'
import type { RedisTarget } from './redis-url.ts'
import type { Store, StoreStatus } from './store.ts'

export type RedisStoreOptions = {
  target: RedisTarget
  keyPrefix: string
  tls?: RedisTls
  /** How long one call may take before it fails. */
  deadlineMs?: number
}

const DEADLINE_MS = 2000
/** The first with all the commands that are used (XTRIM MINID). */
const OLDEST_VERSION = [6, 2] as const

/**
 * The shared store. It does not wait for Redis to be there: calls fail until it is. Where there are replicas, whatever lives
 * for an hour or more is acknowledged by one of them before it is by us. A partition can still lose what a master cut off from
 * the majority, together with the only replica that confirmed it, accepts until it learns of its successor.
 */
export function openRedisStore(options: RedisStoreOptions): Store {
  const { target, keyPrefix, deadlineMs = DEADLINE_MS } = options
  const connect = (limitMs: number) => createRedisLink({ ...options, deadlineMs: limitMs })
  const link = connect(deadlineMs)
  // WAIT blocks a connection: what only reads does not queue behind a slow replica.
  const writers = createRedisWriters(() => connect(deadlineMs))
  const replication = createReplication(writers, target.kind === 'sentinel')

  const records = createRedisRecords({ link, keyPrefix, runDurably: replication.runDurably })
  const { close: closeJournals, ...journals } = createRedisJournals({
    link,
    keyPrefix,
    runDurably: replication.runDurably,
    connectFollower: (extraMs) => connect(deadlineMs + extraMs),
  })

  return {
    ...records,
    ...journals,
    status: async () => {
      await replication.lookForReplicas()
      return readStatus(link)
    },
    close: async () => {
      closeJournals()
      writers.close()
      link.close()
    },
  }
}

/**
 * Whether writes must reach a replica. Once one was seen, or Sentinel is there to promote one, that stays so: a replica
 * that is away must make writes fail, not unsafe.
 */
function createReplication({ first, runReplicated }: RedisWriters, isSentinel: boolean) {
  let hasReplicas = isSentinel
  let hasLooked = isSentinel

  const lookForReplicas = async (): Promise<void> => {
    const replies = await first.sendToMasters(['info', 'replication'])
    hasReplicas ||= replies.some((reply) => Number(infoField(reply, 'connected_slaves')) > 0)
    hasLooked = true
  }

  const runDurably = async (call: ScriptCall): Promise<unknown> => {
    if (!hasLooked) await lookForReplicas()
    return hasReplicas ? runReplicated(call) : first.run(call)
  }

  return { lookForReplicas, runDurably }
}

async function readStatus(link: RedisLink): Promise<StoreStatus> {
  const startedAtMs = performance.now()
  await link.sendToMasters(['ping'])
  const latencyMs = performance.now() - startedAtMs
  const infos = await link.sendToMasters(['info'])
  return {
    backend: 'redis',
    version: infoField(infos[0], 'redis_version'),
    latencyMs,
    sizeBytes: infos.reduce<number>((sum, info) => sum + Number(infoField(info, 'used_memory')), 0),
    warnings: [...new Set(infos.flatMap(warningsIn))],
  }
}

function warningsIn(info: unknown): string[] {
  const warnings: string[] = []
  const [major = 0, minor = 0] = infoField(info, 'redis_version').split('.').map(Number)
  if (major < OLDEST_VERSION[0] || (major === OLDEST_VERSION[0] && minor < OLDEST_VERSION[1])) {
    warnings.push(`Redis is older than ${OLDEST_VERSION.join('.')}`)
  }
  const policy = infoField(info, 'maxmemory_policy')
  if (infoField(info, 'maxmemory') !== '0' && policy !== 'noeviction') {
    warnings.push(`maxmemory-policy is ${policy}: Redis may drop records; set noeviction`)
  }
  if (infoField(info, 'aof_enabled') === '0') {
    warnings.push('appendonly is off: a restart of Redis may lose acknowledged writes')
  }
  return warnings
}

/** The value of one field of an INFO reply; empty when it is not there. */
function infoField(info: unknown, field: string): string {
  const line = z
    .string()
    .parse(info)
    .split('\r\n')
    .find((line) => line.startsWith(`${field}:`))
  return line?.slice(field.length + 1) ?? ''
}
