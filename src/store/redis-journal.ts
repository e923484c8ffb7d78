import { setTimeout as pause } from 'node:timers/promises'
import { z } from 'zod'
import { AppError } from '../kernel/errors.ts'
import { storageName, toJson } from './commit-rules.ts'
import type { RedisLink, ScriptCall } from './redis-link.ts'
import { APPEND } from './redis-scripts.ts'
import { DEFAULT_HEARTBEAT_MS, type Journal, type JournalEntry, type Store } from './store.ts'

type JournalStore = Pick<Store, 'append' | 'appendAll' | 'read' | 'readLast' | 'follow'>

export type RedisJournalsOptions = {
  link: RedisLink
  keyPrefix: string
  runDurably: (call: ScriptCall) => Promise<unknown>
  /** A connection of its own for a follower, on which replies may take that much longer than elsewhere. */
  connectFollower: (extraMs: number) => RedisLink
}

const FOLLOW_BATCH = 1000
const RETRY_DELAY_MS = 200
const entriesReply = z.array(z.tuple([z.string(), z.tuple([z.literal('json'), z.string()])]))
const streamsReply = z.array(z.tuple([z.string(), entriesReply])).nullable()

/**
 * Journals as streams under `<prefix>journal:{name}`. Ids are the server's time, so the clocks of a master and its
 * replicas must agree to within the few seconds that a failover takes, or followers skip what the new master adds first.
 */
export function createRedisJournals(
  options: RedisJournalsOptions,
): JournalStore & { close: () => void } {
  const { link, keyPrefix, runDurably, connectFollower } = options
  const closing = new AbortController()
  const keyOf = ({ name }: Journal) =>
    `${keyPrefix}journal:${storageName({ name, layout: 'together' })}`

  async function* follow(journal: Journal, query: Parameters<Store['follow']>[1]) {
    const { heartbeatMs = DEFAULT_HEARTBEAT_MS } = query
    const over = AbortSignal.any([query.signal, closing.signal])
    const follower = connectFollower(heartbeatMs)
    over.addEventListener('abort', () => follower.close())
    let cursor = cursorOf(query.after)
    let isCaughtUp = false
    try {
      while (!over.aborted) {
        const batch = await nextEntries(follower, {
          key: keyOf(journal),
          cursor,
          blockMs: isCaughtUp ? heartbeatMs : undefined,
        })
        if (batch === undefined) {
          await pause(RETRY_DELAY_MS, undefined, { signal: over }).catch(() => undefined)
          continue
        }
        isCaughtUp = batch.length === 0
        cursor = batch.at(-1)?.id ?? cursor
        yield batch
      }
    } finally {
      follower.close()
    }
  }

  const appendAll = async (journal: Journal, values: readonly unknown[]): Promise<string> => {
    const { retentionSeconds, maxEntries = 0 } = journal
    const args = [retentionSeconds * 1000, maxEntries, ...values.map(toJson)]
    return z.string().parse(await runDurably({ script: APPEND, keys: [keyOf(journal)], args }))
  }

  return {
    append: (journal, value) => appendAll(journal, [value]),
    appendAll: async (journal, values) => {
      if (values.length > 0) await appendAll(journal, values)
    },

    read: async (journal, { after, sinceMs = 0, limit }) => {
      const cursor = cursorOf(after)
      const start = Number.parseInt(cursor) < sinceMs ? String(sinceMs) : `(${cursor}`
      const reply = await link.send(['xrange', keyOf(journal), start, '+', 'count', limit])
      return toEntries(entriesReply.parse(reply))
    },

    readLast: async (journal, limit) => {
      const reply = await link.send(['xrevrange', keyOf(journal), '+', '-', 'count', limit])
      return toEntries(entriesReply.parse(reply)).toReversed()
    },

    follow,
    close: () => closing.abort(),
  }
}

type NextQuery = { key: string; cursor: string; blockMs: number | undefined }

/** Undefined while Redis cannot be reached. */
async function nextEntries(
  follower: RedisLink,
  { key, cursor, blockMs }: NextQuery,
): Promise<JournalEntry[] | undefined> {
  const block = blockMs === undefined ? [] : ['block', blockMs]
  try {
    const reply = await follower.send([
      'xread',
      'count',
      FOLLOW_BATCH,
      ...block,
      'streams',
      key,
      cursor,
    ])
    return (streamsReply.parse(reply) ?? []).flatMap(([, entries]) => toEntries(entries))
  } catch (error) {
    if (error instanceof AppError) return undefined
    throw error
  }
}

function toEntries(entries: z.infer<typeof entriesReply>): JournalEntry[] {
  return entries.map(([id, [, json]]) => ({ id, value: JSON.parse(json) }))
}

const cursorOf = (after: string | undefined): string =>
  after !== undefined && /^\d{1,15}-\d{1,15}$/.test(after) ? after : '0-0'
