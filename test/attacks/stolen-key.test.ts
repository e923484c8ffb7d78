import { importJWK, SignJWT } from 'jose'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import { z } from 'zod'
import { adminKeyPathOf } from '../../src/cli/admin-bootstrap.ts'
import type { Running } from '../../src/cli/running.ts'
import { startProxy } from '../../src/cli/start-proxy.ts'
import { freePorts } from '../../src/cli/free-ports.ts'
import { openKeyDocuments } from '../../src/cli/open-keys.ts'
import type { Config } from '../../src/config/schema.ts'
import { systemClock } from '../../src/kernel/clock.ts'
import { createLog } from '../../src/kernel/log.ts'
import { parseRing } from '../../src/keys/ring-file.ts'
import { activeKey } from '../../src/keys/ring.ts'
import { inspectToken } from '../../src/tokens/inspect.ts'
import { startApart, type Apart } from '../support/apart.ts'
import { runCommand } from '../support/command.ts'
import { settingsOnRedis } from '../support/gatehouse.ts'
import { hasRedisServer } from '../support/redis-binary.ts'
import { startRedis } from '../support/redis-server.ts'
import { waitUntil } from '../support/wait-until.ts'

/** Longer than the log of revocations remembers that a key was stolen. */
const LATER_MS = 2000 * 1000

let apart: Apart
const undo: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const each of undo.splice(0).toReversed()) await each()
})

/** The settings of a feed; `forget` makes the log as short as time does, where it goes by a clock of its own. */
type Feed = { settings: string[]; isHeardWithoutIssuer: boolean; forget: () => Promise<unknown> }

const overHttp = async (): Promise<Feed> => ({
  settings: [],
  isHeardWithoutIssuer: false,
  forget: async () => undefined,
})
const onRedis = async (): Promise<Feed> => {
  const servers = await startRedis()
  undo.push(servers.stop)
  const log = 'gatehouse:journal:{revocations}'
  return {
    settings: settingsOnRedis(servers.url),
    isHeardWithoutIssuer: true,
    forget: async () => servers.nodes[0]?.link.send(['xtrim', log, 'maxlen', '0']),
  }
}
const feeds: [string, () => Promise<Feed>][] = [
  ['over HTTP', overHttp],
  ...(hasRedisServer ? [['on Redis', onRedis] satisfies [string, () => Promise<Feed>]] : []),
]

async function start(set: readonly string[]): Promise<void> {
  apart = await startApart(set)
  undo.push(apart.close)
  await apart.startProxy()
}

/** The issuer's files are in another folder than the proxy's, its settings are the same. */
const issuerConfig = (): Config => ({ ...apart.config, dataDir: join(apart.dir, 'data') })

/** What a thief makes of the private key: a token of anybody, for as long as he likes. */
async function forgeWithActiveKey(likeToken: string): Promise<{ forged: string; kid: string }> {
  const documents = await openKeyDocuments(issuerConfig(), systemClock)
  const text = (await documents.read('ring.json'))?.text ?? ''
  await documents.close()
  const { kid, privateJwk } = activeKey(await parseRing('ring.json', text))
  const nextYear = Math.floor(Date.now() / 1000) + 31_536_000
  const forged = await new SignJWT({ ...inspectToken(likeToken).payload, exp: nextYear })
    .setProtectedHeader({ alg: 'RS256', typ: 'at+jwt', kid })
    .sign(await importJWK({ ...privateJwk }, 'RS256'))
  return { forged, kid }
}

async function startSecondProxy(): Promise<Config> {
  const [port, opsPort] = await freePorts(2)
  const config: Config = {
    ...apart.config,
    dataDir: join(apart.dir, 'second-proxy-data'),
    proxy: {
      ...apart.config.proxy,
      listen: `127.0.0.1:${port}`,
      opsListen: `127.0.0.1:${opsPort}`,
    },
  }
  const second: Running = await startProxy(config, { log: createLog('silent'), clock: systemClock })
  undo.push(() => second.close(0))
  return config
}

const callAt = ({ proxy }: Config, token: string) =>
  fetch(`http://${proxy.listen}/v1/chat/completions`, {
    method: 'POST',
    body: '{}',
    headers: { authorization: `Bearer ${token}` },
  })
const statusAt = async (config: Config, token: string) => {
  const response = await callAt(config, token)
  await response.arrayBuffer()
  return response.status
}
const readyzSchema = z.object({
  checks: z.object({ revocations: z.object({ status: z.string() }) }),
})
async function readiness() {
  const response = await fetch(`http://${apart.config.proxy.opsListen}/readyz`)
  return readyzSchema.parse(await response.json()).checks
}
const compromise = (kid: string) => {
  const { config } = apart
  const places = ['--admin-url', `http://${config.admin.listen}`]
  const key = ['--admin-key', adminKeyPathOf(config)]
  return runCommand(['keys', 'compromise', kid, ...places, ...key])
}

describe.each(feeds)('a stolen signing key, with the revocations %s', (_title, openFeed) => {
  test('is refused by each of two proxies at once, whatever it signed, and what its tokens have running ends', async () => {
    await start((await openFeed()).settings)
    const proxies = [apart.config, await startSecondProxy()]
    const token = await apart.issueToken('victim')
    const { forged, kid } = await forgeWithActiveKey(token)
    for (const proxy of proxies) {
      await waitUntil('the log', async () => (await statusAt(proxy, token)) === 200)
      expect(await statusAt(proxy, forged)).toBe(200)
    }
    apart.model.answer((req, res) => {
      req.resume()
      res.writeHead(200, { 'content-type': 'text/event-stream' }).write('data: 1\n\n')
    })
    const streams = await Promise.all(
      proxies.flatMap((proxy) => [callAt(proxy, token), callAt(proxy, forged)]),
    )
    const readers = streams.map(({ body }) => body?.getReader())
    await Promise.all(readers.map(async (reader) => reader?.read()))

    const ends = readers.map((reader) => expect(reader?.read()).rejects.toThrow())
    const { code, stderr } = await compromise(kid)
    expect(code).toBe(0)
    await Promise.all(ends)
    for (const { proxy } of proxies) {
      const port = proxy.listen.slice(proxy.listen.indexOf(':') + 1)
      expect(stderr).toMatch(new RegExp(`-${port} has dropped it, \\d+\\.\\d s later`))
    }
    expect(stderr).not.toContain('warning')
    for (const proxy of proxies) {
      expect([await statusAt(proxy, token), await statusAt(proxy, forged)]).toEqual([401, 401])
    }
    apart.model.answer((_req, res) => void res.end('{}'))
    const fresh = await apart.issueToken('fresh')
    for (const proxy of proxies) {
      await waitUntil('the fresh key', async () => (await statusAt(proxy, fresh)) === 200)
    }
  })

  test('signs nothing that passes once the log has forgotten it, at a proxy that heard of it and is restarted', async () => {
    const { settings, forget } = await openFeed()
    await start([...settings, 'revocations.maxStalenessSeconds=3600'])
    const { forged, kid } = await forgeWithActiveKey(await apart.issueToken('victim'))
    await waitUntil('the log', async () => (await apart.statusOf(forged)) === 200)
    await compromise(kid)
    await waitUntil('the refusal', async () => (await apart.statusOf(forged)) === 401)
    for (const isIssuerThere of [true, false]) {
      if (!isIssuerThere) await apart.stopIssuer()
      await apart.stopProxy()
      apart.time.now += LATER_MS / 2
      await forget()
      await apart.startProxy()
      expect([401, 503]).toContain(await apart.statusOf(forged))
    }
  })

  test('signs nothing that passes, at a proxy that was away while the log knew it and has its key on disk', async () => {
    const { settings, isHeardWithoutIssuer, forget } = await openFeed()
    await start(settings)
    const { forged, kid } = await forgeWithActiveKey(await apart.issueToken('victim'))
    await waitUntil('the log', async () => (await apart.statusOf(forged)) === 200)
    await apart.stopProxy()
    await compromise(kid)
    apart.time.now += LATER_MS
    await forget()
    await apart.stopIssuer()
    await apart.startProxy()
    const seen = new Set<number>()
    const ask = async () => {
      const status = await apart.statusOf(forged)
      seen.add(status)
      return status
    }
    await ask()
    if (isHeardWithoutIssuer) {
      await waitUntil('the log', async () => (await readiness()).revocations.status === 'ok')
      await ask()
    }
    await apart.startIssuer()
    await waitUntil('the fresh keys', async () => (await ask()) === 401)
    expect([...seen]).toEqual([503, 401])
  })
})
