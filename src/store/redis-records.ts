import { z } from 'zod'
import {
  createVersion,
  isPossibleId,
  prepareChanges,
  storageName,
  VERSION_LENGTH,
  type PreparedChange,
} from './commit-rules.ts'
import type { RedisArgument } from './redis.ts'
import type { RedisLink, ScriptCall } from './redis-link.ts'
import { COMMIT } from './redis-scripts.ts'
import {
  ConflictError,
  type Collection,
  type Expectation,
  type Store,
  type StoredRecord,
} from './store.ts'

export type RedisRecordsOptions = {
  link: RedisLink
  keyPrefix: string
  /** How a write goes that must outlive the loss of a master. */
  runDurably: (call: ScriptCall) => Promise<unknown>
}

const LASTING_MS = 3_600_000

const idReply = z.array(z.string())
const recordReply = z.array(z.string().nullable())

/** Records as strings under `<prefix>record:<collection>:<id>`, with an index beside those that are listed. */
export function createRedisRecords(
  options: RedisRecordsOptions,
): Pick<Store, 'get' | 'list' | 'commit'> {
  const { link, keyPrefix, runDurably } = options
  const indexKey = (collection: Collection) => `${keyPrefix}index:${storageName(collection)}`
  const expiryKey = (collection: Collection) => `${keyPrefix}expiry:${storageName(collection)}`
  const recordKey = (collection: Collection, id: string) =>
    `${keyPrefix}record:${storageName(collection)}:${id}`

  return {
    get: async (collection, id) => {
      if (!isPossibleId(id)) return undefined
      const text = z
        .string()
        .nullable()
        .parse(await link.send(['get', recordKey(collection, id)]))
      return text === null ? undefined : toRecord(id, text)
    },

    list: async (collection, { prefix = '', after = '', limit }) => {
      const range = idRange(prefix, after)
      const reply = await link.send([
        ...(['zrangebylex', indexKey(collection)] as const),
        ...range,
        ...(['limit', 0, limit] as const),
      ])
      const ids = idReply.parse(reply)
      if (ids.length === 0) return { records: [], next: undefined }
      const keys = ids.map((id) => recordKey(collection, id))
      const texts = recordReply.parse(await link.send(['mget', ...keys]))
      return {
        records: ids.flatMap((id, position) => toRecords(id, texts[position])),
        next: ids.length < limit ? undefined : ids.at(-1),
      }
    },

    commit: async (collection, changes) => {
      const prepared = prepareChanges(collection, changes)
      const isListed = collection.layout === 'together'
      const version = createVersion()
      const call = {
        script: COMMIT,
        keys: [
          ...(isListed ? [indexKey(collection), expiryKey(collection)] : []),
          ...prepared.map(({ id }) => recordKey(collection, id)),
        ],
        args: [version, isListed ? '1' : '0', ...prepared.flatMap(changeArguments)],
        changedNothing: (reply: unknown) => reply !== 0,
      }
      const reply = await (isDurable(prepared) ? runDurably(call) : link.run(call))
      const refused = prepared[z.number().parse(reply) - 1]
      if (refused !== undefined) throw new ConflictError(collection.name, refused.id)
      return version
    },
  }
}

/**
 * What would be missed for long: permanent records, those that live as long as a refresh token or a sign-in does, and what
 * was deleted. What is only there to see a code or proof used twice, for a minute or ten, does not wait.
 */
function isDurable(changes: readonly PreparedChange[]): boolean {
  return changes.some(
    ({ kind, ttlMs = Infinity }) => kind === 'delete' || (kind === 'put' && ttlMs >= LASTING_MS),
  )
}

function changeArguments({ kind, expect, id, ttlMs, json }: PreparedChange): RedisArgument[] {
  return [kind, expectationArgument(expect), id, ttlMs ?? '', json]
}

function expectationArgument(expect: Expectation): string {
  if (expect === 'any') return '*'
  return expect === 'absent' ? '' : `=${expect.version}`
}

/** 0xff follows every byte that UTF-8 can have after the prefix. A cursor from before the prefix starts at the prefix. */
function idRange(prefix: string, after: string): [Buffer, Buffer] {
  const start = Buffer.from(prefix)
  const cursor = Buffer.from(after)
  const isInside = after !== '' && Buffer.compare(cursor, start) >= 0
  return [
    isInside ? Buffer.concat([Buffer.from('('), cursor]) : Buffer.concat([Buffer.from('['), start]),
    Buffer.concat([Buffer.from('['), start, Buffer.of(0xff)]),
  ]
}

/** None for a record that has expired since it was indexed. */
function toRecords(id: string, text: string | null | undefined): StoredRecord[] {
  return text === null || text === undefined ? [] : [toRecord(id, text)]
}

function toRecord(id: string, text: string): StoredRecord {
  return {
    id,
    version: text.slice(0, VERSION_LENGTH),
    value: JSON.parse(text.slice(VERSION_LENGTH)),
  }
}
