import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Running } from '../../src/cli/running.ts'
import { startIssuer, type RunningIssuer } from '../../src/cli/start-issuer.ts'
import { startProxy } from '../../src/cli/start-proxy.ts'
import type { Config } from '../../src/config/schema.ts'
import { systemClock } from '../../src/kernel/clock.ts'
import { createLog } from '../../src/kernel/log.ts'
import {
  createLiveRevocations,
  type FedRevocations,
} from '../../src/revocations/live-revocations.ts'
import { newClientSchema } from '../../src/registry/client.ts'
import { createDpopClient, type DpopClient } from '../support/dpop-client.ts'
import { startModelServer, type ModelServer } from '../support/model-server.ts'
import { startLoneProxy } from '../support/lone-proxy.ts'
import { pairOf } from '../support/pair.ts'
import { hasRedisServer } from '../support/redis-binary.ts'
import { startRedis, type RedisServers } from '../support/redis-server.ts'
import { startTestIssuer, type TestIssuer } from '../support/test-issuer.ts'
import { waitUntil } from '../support/wait-until.ts'

const around = { log: createLog('silent'), clock: systemClock }

describe.skipIf(!hasRedisServer)('on one Redis', () => {
  let dir: string
  let servers: RedisServers
  let dpop: DpopClient
  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'gatehouse-dpop-'))
    servers = await startRedis()
    dpop = await createDpopClient()
  })
  afterAll(async () => {
    await servers.stop()
    await rm(dir, { recursive: true })
  })

  describe('two issuers', () => {
    let configs: readonly Config[]
    let issuers: RunningIssuer[]
    let basic: string
    beforeAll(async () => {
      configs = await pairOf(dir, servers.url)
      issuers = await Promise.all(configs.map((config) => startIssuer(config, around)))
      const made = await issuers[0]?.registry.clients.create(newClientSchema.parse({}))
      const credentials = `${made?.client.client_id}:${made?.clientSecret}`
      basic = `Basic ${Buffer.from(credentials).toString('base64')}`
    })
    afterAll(() => Promise.all(issuers.map((issuer) => issuer.close(0))))

    const ask = (config: Config | undefined, proof: string) =>
      fetch(`http://${config?.issuer.listen}/token`, {
        method: 'POST',
        headers: { authorization: basic, dpop: proof },
        body: new URLSearchParams({ grant_type: 'client_credentials' }),
      })
    const prove = (over: Record<string, unknown> = {}) =>
      dpop.prove({ method: 'POST', uri: `${configs[0]?.issuer.url}/token` }, over)

    test('take a proof once between them, also at the same time', async () => {
      for (const proof of await Promise.all(Array.from({ length: 10 }, () => prove()))) {
        const answers = await Promise.all(configs.map((config) => ask(config, proof)))
        const statuses = answers.map(({ status }) => status)
        expect(statuses.toSorted((a, b) => a - b)).toEqual([200, 400])
        const again = await ask(configs[0], proof)
        expect(await again.json()).toMatchObject({ error: 'invalid_dpop_proof' })
      }
    })

    test('take the nonces of each other', async () => {
      const refused = await ask(configs[0], await prove({ iat: 1 }))
      const nonce = refused.headers.get('dpop-nonce')
      expect((await ask(configs[1], await prove({ iat: 1, nonce }))).status).toBe(200)
    })
  })

  test.each([
    ['a question of ForwardAuth', '/_gatehouse/verify', '/v1/models'],
    ['a question for the own quota', '', '/_gatehouse/usage'],
  ])('%s is refused whose token is revoked while its proof waits', async (_what, prefix, path) => {
    let revocations: FedRevocations | undefined
    const proxy = await startLoneProxy(
      [`redis.url=${servers.url}`, 'proxy.forwardAuth=true'],
      (clock) => {
        revocations = createLiveRevocations(clock)
        revocations.markComplete()
        return revocations
      },
    )
    const exp = Math.floor(proxy.time.now / 1000) + 600
    const accessToken = await proxy.issuer.sign({ cnf: { jkt: dpop.jkt }, jti: 'revoked', exp })
    const proof = await dpop.prove({
      method: 'GET',
      uri: `${proxy.url}${path}`,
      accessToken,
    })
    const link = servers.nodes[0]?.link
    // It does not answer scripts, and still says who waits.
    await link?.send(['client', 'pause', 10_000, 'write'])
    const asked = fetch(`${proxy.url}${prefix}${path}`, {
      headers: { authorization: `DPoP ${accessToken}`, dpop: proof },
    })
    await waitUntil('the question waits', async () =>
      /flags=b .* cmd=eval/.test(String(await link?.send(['client', 'list']))),
    )
    revocations?.receive([{ id: '1', entry: { kind: 'jti', value: 'revoked', exp } }])
    await link?.send(['client', 'unpause'])
    const answer = await asked
    expect([answer.status, await answer.text()]).toEqual([401, expect.stringContaining('revoked')])
    await proxy.close()
  })

  describe('two proxies', () => {
    let configs: readonly Config[]
    let proxies: Running[]
    let issuer: TestIssuer
    let model: ModelServer
    let uri: string
    beforeAll(async () => {
      model = await startModelServer()
      const drafts = await pairOf(dir, servers.url, [`proxy.upstreams=${model.url}`])
      const url = drafts[0].proxy.url
      issuer = await startTestIssuer(url)
      uri = `${url}/v1/models`
      configs = drafts.map((draft) => ({ ...draft, issuer: { ...draft.issuer, url: issuer.url } }))
      proxies = await Promise.all(configs.map((config) => startProxy(config, around)))
    })
    afterAll(async () => {
      await Promise.all(proxies.map((proxy) => proxy.close(0)))
      await Promise.all([issuer.close(), model.close()])
    })

    const call = (config: Config | undefined, accessToken: string, proof: string) =>
      fetch(`http://${config?.proxy.listen}/v1/models`, {
        headers: { authorization: `DPoP ${accessToken}`, dpop: proof },
      })

    test('take a proof once between them, also at the same time', async () => {
      const accessToken = await issuer.sign({ cnf: { jkt: dpop.jkt } })
      for (let round = 0; round < 10; round += 1) {
        const proof = await dpop.prove({ method: 'GET', uri, accessToken })
        const answers = await Promise.all(configs.map((each) => call(each, accessToken, proof)))
        const statuses = answers.map(({ status }) => status)
        expect(statuses.toSorted((a, b) => a - b)).toEqual([200, 401])
        expect((await call(configs[round % 2], accessToken, proof)).status).toBe(401)
      }
    })

    test('take the nonces of each other', async () => {
      const accessToken = await issuer.sign({ cnf: { jkt: dpop.jkt } })
      const request = { method: 'GET', uri, accessToken }
      const refused = await call(configs[0], accessToken, await dpop.prove(request, { iat: 1 }))
      const nonce = refused.headers.get('dpop-nonce')
      const proof = await dpop.prove(request, { iat: 1, nonce })
      expect((await call(configs[1], accessToken, proof)).status).toBe(200)
    })

    test('keep nothing of it without an end', async () => {
      const { nodes } = servers
      const link = nodes[0]?.link
      const keysLike = async (pattern: string) =>
        String(await link?.send(['keys', pattern])).split(',')
      const used = await keysLike('*:used:*')
      expect(used.length).toBeGreaterThan(1)
      for (const key of [...used, ...(await keysLike('*dpop*'))]) {
        const ttlMs = Number(await link?.send(['pttl', key]))
        expect(ttlMs).toBeGreaterThan(0)
      }
    })

    test('refuse with 503, and let nothing pass unseen, while Redis is away', async () => {
      const accessToken = await issuer.sign({ cnf: { jkt: dpop.jkt } })
      const proof = await dpop.prove({ method: 'GET', uri, accessToken })
      expect((await call(configs[0], accessToken, proof)).status).toBe(200)
      await servers.nodes[0]?.kill()
      expect((await call(configs[1], accessToken, proof)).status).toBe(503)
    })
  })
})
