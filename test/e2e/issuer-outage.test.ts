import { copyFileSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import { startApart, type Apart } from '../support/apart.ts'
import { settingsOnRedis } from '../support/gatehouse.ts'
import { hasRedisServer } from '../support/redis-binary.ts'
import { startRedis } from '../support/redis-server.ts'
import { waitUntil } from '../support/wait-until.ts'

let apart: Apart
afterEach(() => apart.close())

const MINUTE = 60_000
const viewPath = () => join(apart.config.dataDir, 'proxy', 'revocations.json')
const ignored = () =>
  apart.logged.filter((line) => line['event'] === 'cache.ignored').map((line) => line['reason'])

/** A proxy that knows of one good and one revoked token when the issuer is stopped. */
async function stopIssuerBehind(set: readonly string[]) {
  apart = await startApart(['tokens.accessTtlSeconds=1800', ...set])
  await apart.startProxy()
  const [good, revoked] = [await apart.issueToken('good'), await apart.issueToken('revoked')]
  await waitUntil('the log', async () => (await apart.statusOf(good)) === 200)
  await apart.issuer().registry.clients.disable('revoked')
  await waitUntil('the refusal', async () => (await apart.statusOf(revoked)) === 401)
  await apart.stopIssuer()
  const restartProxy = async () => {
    await apart.stopProxy()
    await apart.startProxy()
  }
  return { good, revoked, restartProxy }
}

describe('while the issuer is away', () => {
  test('tokens keep working at a proxy that is restarted, and what was revoked stays revoked', async () => {
    const { good, revoked, restartProxy } = await stopIssuerBehind([
      'revocations.maxStalenessSeconds=3600',
    ])
    for (let restarts = 0; restarts < 3; restarts += 1) {
      apart.time.now += 8 * MINUTE
      expect([await apart.statusOf(good), await apart.statusOf(revoked)]).toEqual([200, 401])
      await restartProxy()
      expect([await apart.statusOf(good), await apart.statusOf(revoked)]).toEqual([200, 401])
    }
    const modes = readdirSync(join(apart.config.dataDir, 'proxy')).map((name) => [
      name,
      statSync(join(apart.config.dataDir, 'proxy', name)).mode & 0o777,
    ])
    expect(modes).toEqual([
      ['jwks.json', 0o600],
      ['revocations.json', 0o600],
    ])
    expect(ignored()).toEqual([])
  })

  test('a restart changes nothing about how long the view may be relied on', async () => {
    const { good, restartProxy } = await stopIssuerBehind(['revocations.maxStalenessSeconds=600'])
    apart.time.now += 9 * MINUTE
    await restartProxy()
    expect(await apart.statusOf(good)).toBe(200)
    apart.time.now += MINUTE
    expect(await apart.statusOf(good)).toBe(503)
    await restartProxy()
    expect(await apart.statusOf(good)).toBe(503)
  })

  test('nor about how long the keys may be', async () => {
    const { good, restartProxy } = await stopIssuerBehind([
      'revocations.maxStalenessSeconds=3600',
      'proxy.jwks.maxStaleSeconds=600',
    ])
    apart.time.now += 9 * MINUTE
    await restartProxy()
    expect(await apart.statusOf(good)).toBe(200)
    apart.time.now += MINUTE
    await restartProxy()
    expect(await apart.statusOf(good)).toBe(503)
  })

  test('an older copy of the view that is put back revives nothing beyond the bound', async () => {
    apart = await startApart([
      'tokens.accessTtlSeconds=1800',
      'revocations.maxStalenessSeconds=600',
    ])
    await apart.startProxy()
    const token = await apart.issueToken('token')
    await waitUntil('the log', async () => (await apart.statusOf(token)) === 200)
    await apart.stopProxy()
    copyFileSync(viewPath(), `${viewPath()}.old`)
    await apart.startProxy()
    await apart.issuer().registry.clients.disable('token')
    await waitUntil('the refusal', async () => (await apart.statusOf(token)) === 401)
    await apart.stopIssuer()
    await apart.stopProxy()
    copyFileSync(`${viewPath()}.old`, viewPath())
    apart.time.now += 10 * MINUTE
    await apart.startProxy()
    expect(await apart.statusOf(token)).toBe(503)
  })

  test('a view that somebody has changed is not believed: no token passes, and the log says why', async () => {
    const { good, revoked, restartProxy } = await stopIssuerBehind([])
    await apart.stopProxy()
    const text = readFileSync(viewPath(), 'utf8')
    writeFileSync(viewPath(), text.replace('"revoked"', '"another"'))
    await restartProxy()
    expect([await apart.statusOf(good), await apart.statusOf(revoked)]).toEqual([503, 503])
    expect(ignored()).toEqual(['damaged_or_of_another_key'])
  })
})

describe.skipIf(!hasRedisServer)('on Redis, while the issuer is away', () => {
  test.each([
    ['Redis is there', false],
    ['so is Redis', true],
  ])(
    'and %s, tokens keep working at a proxy that is restarted, and what was revoked stays revoked',
    async (_title, isRedisAway) => {
      const servers = await startRedis()
      try {
        const { good, revoked, restartProxy } = await stopIssuerBehind([
          'revocations.maxStalenessSeconds=3600',
          ...settingsOnRedis(servers.url),
        ])
        if (isRedisAway) await servers.nodes[0]?.kill()
        apart.time.now += 20 * MINUTE
        await restartProxy()
        await waitUntil('the log', async () => (await apart.statusOf(good)) === 200)
        expect(await apart.statusOf(revoked)).toBe(401)
        await apart.stopProxy()
      } finally {
        await servers.stop()
      }
    },
  )
})
