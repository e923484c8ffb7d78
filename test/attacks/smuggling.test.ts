import { afterEach, expect, test } from 'vitest'
import { startLoneProxy } from '../support/lone-proxy.ts'
import { startModelServer } from '../support/model-server.ts'
import { findDisagreements } from '../support/smuggling.ts'
import { startStrictServer } from '../support/strict-server.ts'

/** Some in each run; `SMUGGLING_RUNS=5000 SMUGGLING_SEED=1` for others and more. */
const COUNT = Number(process.env['SMUGGLING_RUNS'] ?? 800)
const SEED = Number(process.env['SMUGGLING_SEED'] ?? 9112)
const TIMEOUT_MS = 30_000 + COUNT * 50

const cleanUp: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const close of cleanUp.splice(0).toReversed()) await close()
})

const startProxyBefore = async (upstreamUrl: string) => {
  const proxy = await startLoneProxy([
    `proxy.upstreams=${upstreamUrl}`,
    'proxy.healthCheck.intervalSeconds=0',
  ])
  cleanUp.push(proxy.close)
  return proxy
}

test(
  `RFC 9112 §11.2: of ${COUNT} connections, most of them malformed, a server that forgives nothing gets just what the proxy has logged`,
  async () => {
    const server = await startStrictServer()
    cleanUp.push(server.close)
    const proxy = await startProxyBefore(server.url)
    const found = await findDisagreements(proxy, () => server.requests, {
      count: COUNT,
      seed: SEED,
    })
    expect(found.problems).toEqual([])
    expect(server.violations).toEqual([])
    expect(found.forwarded, 'so that refusing everything does not pass').toBeGreaterThan(
      COUNT * 0.3,
    )
    expect(found.refused, 'so that passing everything does not').toBeGreaterThan(COUNT / 4)
  },
  TIMEOUT_MS,
)

test(
  `RFC 9112 §11.2: of ${COUNT} others a lenient server gets just what the proxy has logged`,
  async () => {
    const server = await startModelServer()
    cleanUp.push(server.close)
    const proxy = await startProxyBefore(server.url)
    const seen = () =>
      server.received.map(({ method, target, headers }) => ({
        id: String(headers['x-request-id']),
        method,
        target,
      }))
    const found = await findDisagreements(proxy, seen, { count: COUNT, seed: SEED + 1 })
    expect(found.problems).toEqual([])
    expect(found.forwarded).toBeGreaterThan(COUNT * 0.3)
  },
  TIMEOUT_MS,
)
