import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startIssuer } from '../../src/cli/start-issuer.ts'
import { systemClock } from '../../src/kernel/clock.ts'
import { createLog } from '../../src/kernel/log.ts'
import { newClientSchema } from '../../src/registry/client.ts'
import { readEvents } from '../support/event-reader.ts'
import { startGatehouse, testConfig, type Gatehouse } from '../support/gatehouse.ts'
import { startModelServer, type ModelServer } from '../support/model-server.ts'
import { hasRedisServer } from '../support/redis-binary.ts'
import { startRedis } from '../support/redis-server.ts'

const bearer = (token: string) => ({ authorization: `Bearer ${token}` })
const READER = { scope: 'revocations:read ocr_api_access' }

describe('the feed of a running issuer', () => {
  let model: ModelServer
  let gatehouse: Gatehouse
  let feed: string
  beforeAll(async () => {
    model = await startModelServer()
    gatehouse = await startGatehouse(model.url)
    feed = `${gatehouse.config.issuer.url}/revocations`
  })
  afterAll(async () => {
    await gatehouse.close()
    await model.close()
  })
  const readerToken = () => gatehouse.issueToken({ resource: gatehouse.config.issuer.url }, READER)

  test('tells its reader that a client was disabled, and until when that matters', async () => {
    const reader = await readEvents(feed, bearer(await readerToken()))
    await reader.until('the comment', () => reader.comments() > 0)
    const { clientId } = await gatehouse.createClient()
    await gatehouse.registry.clients.disable(clientId)
    await reader.until('the entry', () => reader.events().length > 0)
    const { data } = reader.events()[0] ?? {}
    expect(data).toMatchObject({ kind: 'client', value: clientId })
    expect(Number(data?.['exp'])).toBe(Number(data?.['issued_before']) + 1800)
    reader.leave()
  })

  test('is closed to whoever has no token for it, and says what is missing', async () => {
    const refusal = async (headers: Record<string, string>) => {
      const response = await fetch(feed, { headers })
      const { error } = (await response.json()) as { error: { code: string } }
      return [response.status, error.code, response.headers.get('www-authenticate')]
    }
    expect(await refusal({})).toEqual([
      401,
      'authentication_required',
      expect.stringMatching(/^Bearer, DPoP algs=/),
    ])
    expect(await refusal(bearer('no-token'))).toMatchObject([
      401,
      'invalid_token',
      expect.stringContaining('error="invalid_token"'),
    ])
    const forProxy = await gatehouse.issueToken({}, READER)
    expect(await refusal(bearer(forProxy))).toMatchObject([
      401,
      'invalid_token',
      expect.stringContaining('error_description="The token is for another audience."'),
    ])
    expect((await fetch(`${feed}?access_token=${await readerToken()}`)).status).toBe(401)
    expect((await fetch(feed, { method: 'POST' })).status).toBe(405)
  })

  test('is closed to a token that lacks the scope, or was revoked', async () => {
    const { registry, config, createClient, requestToken } = gatehouse
    const resource = config.issuer.url
    const withoutScope = await gatehouse.issueToken({ resource }, { scope: 'ocr_api_access' })
    const refused = await fetch(feed, { headers: bearer(withoutScope) })
    expect(refused.status).toBe(403)
    expect(refused.headers.get('www-authenticate')).toMatch(
      /^Bearer error="insufficient_scope".*scope="revocations:read"/,
    )
    const client = await createClient(READER)
    const answer = await requestToken(client, { resource })
    const { access_token: token } = (await answer.json()) as { access_token: string }
    const reader = await readEvents(feed, bearer(token))
    await registry.clients.disable(client.clientId)
    await reader.until('the end', reader.hasEnded)
    expect((await fetch(feed, { headers: bearer(token) })).status).toBe(401)
    expect(gatehouse.logged.map((line) => JSON.stringify(line)).join()).not.toContain(token)
  })
})

describe.skipIf(!hasRedisServer)('two issuers on one Redis', () => {
  test('tell of a revocation at the one to the readers of the other, and stop without waiting for them', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'gatehouse-feed-'))
    const servers = await startRedis()
    const around = { log: createLog('silent'), clock: systemClock }
    const key = randomBytes(32).toString('base64')
    const onRedis = () => testConfig(dir, [`redis.url=${servers.url}`, `keys.encryptionKey=${key}`])
    const configs = [await onRedis(), await onRedis()] as const
    const [here, there] = await Promise.all([
      startIssuer(configs[0], around),
      startIssuer(configs[1], around),
    ])
    const create = async (scope: string) => {
      const made = await here.registry.clients.create(newClientSchema.parse({ scope }))
      return { id: made.client.client_id, secret: made.clientSecret ?? '' }
    }
    const { id, secret } = await create('revocations:read')
    const { url } = configs[1].issuer
    // Each issuer has an address of its own here, so the token must come from the one that it is used at.
    const answer = await fetch(`${url}/token`, {
      method: 'POST',
      headers: { authorization: `Basic ${Buffer.from(`${id}:${secret}`).toString('base64')}` },
      body: new URLSearchParams({ grant_type: 'client_credentials', resource: url }),
    })
    const { access_token: token } = (await answer.json()) as { access_token: string }
    const reader = await readEvents(`${url}/revocations`, bearer(token))
    await reader.until('the comment', () => reader.comments() > 0)

    const robot = await create('ocr_api_access')
    await here.registry.clients.disable(robot.id)
    await reader.until('the entry', () => reader.events().some((e) => e.data['value'] === robot.id))

    await Promise.all([here.close(600), there.close(600)])
    expect(reader.hasEnded()).toBe(true)
    await servers.stop()
    await rm(dir, { recursive: true })
  })
})

test('an issuer and a proxy that share one address share its resource', async () => {
  const url = 'https://one.example'
  const gatehouse = await startGatehouse('http://localhost:1', [
    `issuer.url=${url}`,
    `proxy.url=${url}`,
  ])
  const { clientId, clientSecret } = await gatehouse.createClient()
  const response = await fetch(`http://${gatehouse.config.issuer.listen}/token`, {
    method: 'POST',
    body: new URLSearchParams({
      grant_type: 'client_credentials',
      client_id: clientId,
      client_secret: clientSecret,
    }),
  })
  expect(await response.json()).toMatchObject({ scope: 'ocr_api_access' })
  await gatehouse.close()
})
