import type { SentRequest } from './send-request.ts'
import {
  openConnection,
  type ConnectionOptions,
  type ExchangeControl,
  type ExchangeListener,
  type UpstreamConnection,
} from './upstream-connection.ts'

/** The connections to one model server: as many as there are requests at once, which is for others to bound. */
export type UpstreamPool = {
  dispatch: (request: SentRequest, listener: ExchangeListener) => ExchangeControl
  /** Ends all of them, and what goes on there. */
  close: () => void
}

export type PoolOptions = Omit<ConnectionOptions, 'onIdle' | 'onClosed'>

export function createUpstreamPool(options: PoolOptions): UpstreamPool {
  const all = new Set<UpstreamConnection>()
  // The one used last is the next: what is too many grows old and is closed.
  let idle: UpstreamConnection[] = []

  function open(): UpstreamConnection {
    const connection = openConnection({
      ...options,
      onIdle: (connection) => void idle.push(connection),
      onClosed(connection) {
        all.delete(connection)
        idle = idle.filter((other) => other !== connection)
      },
    })
    all.add(connection)
    return connection
  }

  return {
    dispatch: (request, listener) => (idle.pop() ?? open()).send(request, listener),
    close() {
      for (const connection of all) connection.close()
    },
  }
}
