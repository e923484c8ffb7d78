import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Running } from '../../src/cli/running.ts'
import { startProxy } from '../../src/cli/start-proxy.ts'
import { systemClock } from '../../src/kernel/clock.ts'
import { createLog } from '../../src/kernel/log.ts'
import { createDpopClient } from '../support/dpop-client.ts'
import { startModelServer, type ModelServer } from '../support/model-server.ts'
import { pairOf } from '../support/pair.ts'
import { openRawConnection, type RawConnection } from '../support/raw-connection.ts'
import { hasRedisServer } from '../support/redis-binary.ts'
import { startRedis, type RedisServers } from '../support/redis-server.ts'
import { startTestIssuer, type TestIssuer } from '../support/test-issuer.ts'

/** By which a call is known in what Redis is asked. */
const LEASE = /"[0-9a-f-]{36}:\d+"/

const QUOTA = { rpm: 100, concurrency: 9, daily_requests: 100, daily_tokens: 1_000_000 }

describe.skipIf(!hasRedisServer)('before the model server has a call, Redis was asked', () => {
  let dir: string
  let servers: RedisServers
  let monitor: RawConnection
  let model: ModelServer
  let issuer: TestIssuer
  let proxy: Running
  let address: string
  let url: string
  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'gatehouse-round-trips-'))
    servers = await startRedis()
    model = await startModelServer()
    const [draft] = await pairOf(dir, servers.url, [
      `proxy.upstreams=${model.url}`,
      'revocations.feed=off',
    ])
    url = draft.proxy.url
    address = `http://${draft.proxy.listen}`
    issuer = await startTestIssuer(url)
    const config = { ...draft, issuer: { ...draft.issuer, url: issuer.url } }
    proxy = await startProxy(config, { log: createLog('silent'), clock: systemClock })
    monitor = await openRawConnection(servers.nodes[0]?.port ?? 0)
    monitor.send('MONITOR\r\n')
    await monitor.receives((text) => text.includes('+OK\r\n'))
    model.answer(async (_req, res) => {
      await mark('reached')
      res.end('{}')
    })
    // The first call brings the scripts there.
    await call({ authorization: `Bearer ${await issuer.sign({ limits: { client: QUOTA } })}` })
  })
  afterAll(async () => {
    monitor.socket.destroy()
    await proxy.close(0)
    await Promise.all([model.close(), issuer.close()])
    await servers.stop()
    await rm(dir, { recursive: true })
  })

  let marks = 0
  /** Leaves its name in what Redis was asked, behind all that was asked before. */
  async function mark(name: string): Promise<void> {
    marks += 1
    const text = `${name} ${marks}`
    await servers.nodes[0]?.link.send(['echo', text])
    await monitor.receives((seen) => seen.includes(`"echo" "${text}"`))
  }

  const call = async (headers: Record<string, string>) => {
    const answer = await fetch(`${address}/v1/models`, { headers })
    await answer.arrayBuffer()
    return answer.status
  }

  /** The commands that Redis got between the start of a call and its arrival at the model server, or its refusal. */
  async function askedFor(headers: Record<string, string>, status: number): Promise<string[]> {
    await mark('begun')
    const [begun, reached] = [`begun ${marks}`, `reached ${marks + 1}`]
    expect(await call(headers)).toBe(status)
    if (status !== 200) await mark('reached')
    const seen = monitor.received()
    const between = seen.slice(seen.indexOf(begun), seen.indexOf(reached))
    // What a script itself does is no round trip.
    const lines = between
      .split('\r\n')
      .filter((line) => !line.includes(' lua] ') && !isOfCallBefore(line, begun))
    const commands = lines.flatMap((line) => /^\+\S+ \[.*?\] "(\w+)"/.exec(line)?.[1] ?? [])
    return commands.filter((command) => command !== 'echo')
  }
  /** Nobody waits for the end of a call to be counted: that may come after the next has begun. */
  function isOfCallBefore(line: string, begun: string): boolean {
    const seen = monitor.received()
    const lease = LEASE.exec(line)?.[0]
    return lease !== undefined && seen.slice(0, seen.indexOf(begun)).includes(lease)
  }
  const bearer = async (limits: object) => ({
    authorization: `Bearer ${await issuer.sign({ limits })}`,
  })

  test('nothing for a caller without limits', async () => {
    expect(await askedFor(await bearer({}), 200)).toEqual([])
  })

  test('once for one who has every limit that there is', async () => {
    const limits = { subject: QUOTA, client: QUOTA, tenant: QUOTA }
    expect(await askedFor(await bearer(limits), 200)).toEqual(['evalsha'])
  })

  test('once for one who is refused', async () => {
    const limits = { subject: { ...QUOTA, rpm: 1 } }
    const headers = {
      authorization: `Bearer ${await issuer.sign({ limits, sub: 'fast', client_id: 'fast' })}`,
    }
    expect(await askedFor(headers, 200)).toEqual(['evalsha'])
    expect(await askedFor(headers, 429)).toEqual(['evalsha'])
  })

  test.each([
    ['and who has limits', { subject: QUOTA, client: QUOTA, tenant: QUOTA }],
    ['without limits', {}],
  ])('once for one whose proof must not have been used before, %s', async (_who, limits) => {
    const client = await createDpopClient()
    const accessToken = await issuer.sign({ cnf: { jkt: client.jkt }, limits })
    const dpop = await client.prove({ method: 'GET', uri: `${url}/v1/models`, accessToken })
    const headers = { authorization: `DPoP ${accessToken}`, dpop }
    expect(await askedFor(headers, 200)).toEqual(['evalsha'])
    expect(await askedFor(headers, 401)).toEqual(['evalsha'])
  })
})
