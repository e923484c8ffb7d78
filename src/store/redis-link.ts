import { createHash } from 'node:crypto'
import { AppError } from '../kernel/errors.ts'
import {
  createRedisClient,
  type RedisArgument,
  type RedisClient,
  type RedisCommand,
  type RedisTls,
} from './redis.ts'
import type { RedisTarget } from './redis-url.ts'
import { UnconfirmedWriteError } from './store.ts'

export type RedisScript = { lua: string; sha1: string }
export type ScriptCall = {
  script: RedisScript
  keys: readonly string[]
  args: readonly RedisArgument[]
  /** Whether that reply says that nothing was written, so that no replica has anything to confirm. */
  changedNothing?: (reply: unknown) => boolean
}

/**
 * Calls to one Redis, whatever its shape, each of which ends within `deadlineMs`, the wait for a connection included.
 * They fail with AppError `temporarily_unavailable`; it is then unknown whether a write took place.
 */
export type RedisLink = {
  /** Sends a command to the node that holds its keys. */
  send: (command: RedisCommand) => Promise<unknown>
  run: (call: ScriptCall) => Promise<unknown>
  /** Runs the script, then waits until a replica has what it wrote; an UnconfirmedWriteError when none says so within a second. */
  runReplicated: (call: ScriptCall) => Promise<unknown>
  sendToMasters: (command: RedisCommand) => Promise<readonly unknown[]>
  close: () => void
}

export type RedisLinkOptions = {
  target: RedisTarget
  tls?: RedisTls | undefined
  deadlineMs: number
}

const REPLICA_TIMEOUT_MS = 1000

export const createScript = (lua: string): RedisScript => ({
  lua,
  sha1: createHash('sha1').update(lua).digest('hex'),
})

export function createRedisLink({ target, tls, deadlineMs }: RedisLinkOptions): RedisLink {
  const replicatedDeadlineMs = deadlineMs + REPLICA_TIMEOUT_MS
  const client = createRedisClient({ target, tls, silenceMs: replicatedDeadlineMs })

  const pending = new Set<() => void>()

  const bounded = async <T>(work: () => Promise<T>, limitMs = deadlineMs): Promise<T> => {
    const expired = Promise.withResolvers<never>()
    const expire = () => expired.reject(client.lastError() ?? new Error('deadline exceeded'))
    const timer = setTimeout(expire, limitMs)
    pending.add(expire)
    try {
      await Promise.race([client.whenReady(), expired.promise])
      return await Promise.race([work(), expired.promise])
    } catch (error) {
      throw toUnavailable(error)
    } finally {
      clearTimeout(timer)
      pending.delete(expire)
    }
  }

  return {
    send: (command) => bounded(() => client.call(command)),
    run: (call) => bounded(() => evaluate(client, call)),
    runReplicated: (call) => bounded(() => evaluateReplicated(client, call), replicatedDeadlineMs),
    sendToMasters: (command) => bounded(() => client.callMasters(command)),
    close: () => {
      client.close()
      for (const expire of pending) expire()
    },
  }
}

async function evaluate(client: RedisClient, call: ScriptCall): Promise<unknown> {
  try {
    return await client.call(['evalsha', call.script.sha1, ...argumentsOf(call)])
  } catch (error) {
    if (!isReply(error, 'NOSCRIPT')) throw error
    return client.call(['eval', call.script.lua, ...argumentsOf(call)])
  }
}

/** ioredis follows a moved slot for single commands only, so one goes ahead. A script that was moved did not run. */
async function evaluateReplicated(client: RedisClient, call: ScriptCall): Promise<unknown> {
  try {
    return await evaluateThenWait(client, call)
  } catch (error) {
    if (!isReply(error, 'MOVED')) throw error
    await client.call(['exists', ...call.keys])
    return evaluateThenWait(client, call)
  }
}

/** One connection for both: WAIT counts the replicas that have what this very connection wrote. */
async function evaluateThenWait(client: RedisClient, call: ScriptCall): Promise<unknown> {
  const [reply, replicas] = await client.callTogether([
    ['eval', call.script.lua, ...argumentsOf(call)],
    ['wait', 1, REPLICA_TIMEOUT_MS],
  ])
  if (replicas === 0 && call.changedNothing?.(reply) !== true) throw new UnconfirmedWriteError()
  return reply
}

const argumentsOf = ({ keys, args }: ScriptCall): RedisArgument[] => [keys.length, ...keys, ...args]

function toUnavailable(error: unknown): AppError {
  if (error instanceof AppError) return error
  return new AppError('temporarily_unavailable', 'The store does not answer.', {
    reason: `redis_${reasonOf(error)}`,
    cause: error,
    headers: { 'retry-after': '1' },
  })
}

/** A system error's code, or the first word of Redis's reply: the rest of a reply may quote the command. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return 'unknown'
  if ('code' in error && typeof error.code === 'string') return error.code
  return error.name === 'ReplyError' ? (error.message.split(' ', 1)[0] ?? '') : error.name
}

function isReply(error: unknown, word: string): boolean {
  return error instanceof Error && error.message.startsWith(`${word} `)
}
