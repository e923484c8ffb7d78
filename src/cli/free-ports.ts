import { randomInt } from 'node:crypto'
import { createServer, type Server } from 'node:net'

/**
 * Below the ports that systems give to outgoing connections, which would come and go there meanwhile; above the last port that `fetch`
 * refuses (10080).
 */
const [LOWEST, HIGHEST] = [10_081, 32_000]
const MAX_TRIES = 1000

/** Ports of 127.0.0.1 that are free now; all are held until the last is found, so that they differ. */
export async function freePorts(count: number): Promise<number[]> {
  const held = new Map<number, Server>()
  for (let tries = 0; held.size < count; tries += 1) {
    if (tries === MAX_TRIES) throw new Error('there is no free port')
    const port = randomInt(LOWEST, HIGHEST)
    const server = await listenOn(port)
    if (server !== undefined) held.set(port, server)
  }
  const closed = [...held.values()].map((server) => new Promise((resolve) => server.close(resolve)))
  await Promise.all(closed)
  return [...held.keys()]
}

/** Undefined when somebody else has it. */
function listenOn(port: number): Promise<Server | undefined> {
  const server = createServer()
  return new Promise((resolve) => {
    server.once('error', () => resolve(undefined))
    server.listen(port, '127.0.0.1', () => resolve(server))
  })
}
