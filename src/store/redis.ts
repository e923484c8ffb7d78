import { Cluster, Redis, type DNSLookupFunction } from 'ioredis'
import { z } from 'zod'
import type { RedisTarget } from './redis-url.ts'

// At once: whoever has loaded ioredis is slower from then on.
makeStringMethodsFast()

export type RedisArgument = string | number | Buffer
export type RedisCommand = readonly [name: string, ...args: RedisArgument[]]

/** PEM contents: the authorities to trust instead of the system's, and our own certificate where Redis asks for one. */
export type RedisTls = { ca?: string; cert?: string; key?: string }
export type RedisClientOptions = {
  target: RedisTarget
  tls?: RedisTls | undefined
  /** A connection that is silent for longer while an answer is due is given up. */
  silenceMs: number
}

/** The little of ioredis that is used here, the same for one server, Sentinel and Cluster. Errors are ioredis's own. */
export type RedisClient = {
  /** Sends a command to the node that holds its keys. */
  call: (command: RedisCommand) => Promise<unknown>
  /** Sends commands in one go over one connection, to the node that holds their keys. Fails with the first error. */
  callTogether: (commands: readonly RedisCommand[]) => Promise<readonly unknown[]>
  callMasters: (command: RedisCommand) => Promise<readonly unknown[]>
  /** Resolves once there is a connection. */
  whenReady: () => Promise<void>
  /** Why there is no connection, if there is none. */
  lastError: () => Error | undefined
  close: () => void
}

const CONNECT_TIMEOUT_MS = 2000
const MAX_RETRY_DELAY_MS = 500
/** ioredis gives `[error]` for a command that failed and `[null, reply]` for the others. */
const pipelineReply = z.array(z.tuple([z.instanceof(Error).nullable()]).rest(z.unknown()))

/** Connects, and connects anew for as long as it is not closed. A command that may have been sent is never repeated. */
export function createRedisClient(options: RedisClientOptions): RedisClient {
  const client = connect(options)
  const letEnd = neverEnd(client)
  return {
    ...trackReadiness(client),
    call: ([name, ...args]) => client.call(name, ...args),
    callTogether: async (commands) => {
      const replies = await client.pipeline(commands.map((command) => [...command])).exec()
      return pipelineReply.parse(replies).map(([error, reply]) => {
        if (error !== null) throw error
        return reply
      })
    },
    callMasters: ([name, ...args]) => {
      const masters = client instanceof Cluster ? client.nodes('master') : [client]
      return Promise.all(masters.map((node) => node.call(name, ...args)))
    },
    close: () => {
      letEnd()
      client.disconnect()
    },
  }
}

function connect({ target, tls = {}, silenceMs }: RedisClientOptions): Redis | Cluster {
  const { username, password } = target
  const shared = {
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password }),
    ...(target.isTls ? { tls } : {}),
    protocol: 2 as const,
    connectTimeout: CONNECT_TIMEOUT_MS,
    socketTimeout: silenceMs,
    // What was in flight when a connection broke may have been done: it fails, and nobody repeats it.
    maxRetriesPerRequest: 0,
    autoResendUnfulfilledCommands: false,
    // The old master after a failover: connect anew, to whoever is the master now.
    reconnectOnError: (error: Error) => error.message.startsWith('READONLY'),
  }
  if (target.kind === 'cluster') {
    return new Cluster([...target.nodes], {
      redisOptions: shared,
      // ioredis would connect to the address that it looks up, which the certificate of a named node does not name.
      ...(target.isTls ? { dnsLookup: keepName } : {}),
      clusterRetryStrategy: retryDelayMs,
      retryDelayOnFailover: 0,
      maxRedirections: 8,
      slotsRefreshTimeout: CONNECT_TIMEOUT_MS,
      slotsRefreshInterval: 5000,
    })
  }
  const single = { ...shared, enableOfflineQueue: false, retryStrategy: retryDelayMs }
  if (target.kind === 'standalone') {
    return new Redis({ ...single, ...target.address, db: target.database })
  }
  return new Redis({
    ...single,
    sentinels: [...target.sentinels],
    name: target.masterName,
    ...(target.isTls ? { sentinelTLS: tls, enableTLSForSentinelMode: true } : {}),
    sentinelCommandTimeout: CONNECT_TIMEOUT_MS,
    sentinelRetryStrategy: retryDelayMs,
    sentinelReconnectStrategy: () => CONNECT_TIMEOUT_MS,
    failoverDetector: true,
  })
}

/**
 * ioredis has a class that extends String, from which on V8 keeps `String.prototype` as a hash table: whatever calls a method of a
 * string looks it up anew each time, compiled code too. When code that has run a few times reads a property of a string object, it
 * becomes fast again.
 */
function makeStringMethodsFast(): void {
  class Text extends String {}
  const lengthOf = (text: Text): number => text.length
  for (let i = 0; i < 100; i += 1) lengthOf(new Text())
}

/**
 * ioredis gives up for good when a Sentinel tells of a new master while it is asking another one who that is, which is just
 * what happens at a failover. Gives the function that lets it.
 */
function neverEnd(client: Redis | Cluster): () => void {
  let retry: NodeJS.Timeout | undefined
  const connectAnew = () => {
    // It fails also where ioredis is connecting by itself; its other failures are events.
    retry = setTimeout(() => void client.connect().catch(() => undefined), retryDelayMs(1))
  }
  client.on('end', connectAnew)
  return () => {
    client.off('end', connectAnew)
    clearTimeout(retry)
  }
}

const keepName: DNSLookupFunction = (name, callback) => callback(null, name)
const retryDelayMs = (attempt: number): number => Math.min(50 * attempt, MAX_RETRY_DELAY_MS)

/**
 * Callers wait here for a connection, each for as long as it likes, instead of in a queue of ioredis that would still
 * send their commands after they gave up.
 */
function trackReadiness(client: Redis | Cluster): Pick<RedisClient, 'whenReady' | 'lastError'> {
  let ready = Promise.withResolvers<void>()
  let isReady = false
  let lastError: Error | undefined
  client.on('ready', () => {
    isReady = true
    lastError = undefined
    ready.resolve()
  })
  client.on('close', () => {
    if (isReady) ready = Promise.withResolvers()
    isReady = false
  })
  client.on('error', (error: Error) => {
    lastError = error
  })
  return { whenReady: () => ready.promise, lastError: () => lastError }
}
