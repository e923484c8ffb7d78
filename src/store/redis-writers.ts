import type { RedisLink, ScriptCall } from './redis-link.ts'

/** WAIT blocks its connection until a replica has answered: what is to wait at the same time needs one each. */
const MAX_WRITERS = 8

type Writer = { link: RedisLink; waiting: number }

export type RedisWriters = {
  /** For what waits for no replica. */
  first: RedisLink
  runReplicated: (call: ScriptCall) => Promise<unknown>
  close: () => void
}

/** Connections for writes that wait for a replica: one at first, and another whenever all of them wait, up to 8. */
export function createRedisWriters(connect: () => RedisLink): RedisWriters {
  const first = connect()
  const writers: Writer[] = [{ link: first, waiting: 0 }]
  let isClosed = false

  function leastBusy(): Writer {
    const idlest = writers.reduce((a, b) => (b.waiting < a.waiting ? b : a))
    if (idlest.waiting === 0 || isClosed || writers.length === MAX_WRITERS) return idlest
    const another = { link: connect(), waiting: 0 }
    writers.push(another)
    return another
  }

  return {
    first,
    async runReplicated(call) {
      const writer = leastBusy()
      writer.waiting += 1
      try {
        return await writer.link.runReplicated(call)
      } finally {
        writer.waiting -= 1
      }
    },
    close() {
      isClosed = true
      for (const { link } of writers) link.close()
    },
  }
}
