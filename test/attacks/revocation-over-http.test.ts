import { afterEach, describe, expect, test } from 'vitest'
import { ConfigError } from '../../src/kernel/errors.ts'
import { startApart, type Apart } from '../support/apart.ts'
import { waitUntil } from '../support/wait-until.ts'

let apart: Apart
afterEach(() => apart.close())

const stream = (token: string) =>
  fetch(`${apart.config.proxy.url}/v1/chat/completions`, {
    method: 'POST',
    body: '{}',
    headers: { authorization: `Bearer ${token}` },
  })

describe('a proxy without Redis', () => {
  test('hears from the issuer what was revoked before it came, and what is revoked then', async () => {
    apart = await startApart()
    const [before, after, other] = [
      await apart.issueToken('before'),
      await apart.issueToken('after'),
      await apart.issueToken('other'),
    ]
    await apart.issuer().registry.clients.disable('before')
    await apart.startProxy()
    await waitUntil('the log', async () => (await apart.statusOf(other)) === 200)
    expect(await apart.statusOf(before)).toBe(401)
    expect(await apart.statusOf(after)).toBe(200)
    await apart.issuer().registry.clients.disable('after')
    await waitUntil('the refusal', async () => (await apart.statusOf(after)) === 401, 1000)
    expect(await apart.statusOf(other)).toBe(200)
  })

  test('aborts the stream of a caller who is revoked, and the model server is told', async () => {
    apart = await startApart()
    await apart.startProxy()
    const token = await apart.issueToken('streaming')
    await waitUntil('the log', async () => (await apart.statusOf(token)) === 200)
    const left = Promise.withResolvers<void>()
    apart.model.answer((req, res) => {
      req.resume()
      res.once('close', left.resolve)
      res.writeHead(200, { 'content-type': 'text/event-stream' }).write('data: 1\n\n')
    })
    const response = await stream(token)
    const reader = response.body?.getReader()
    await reader?.read()
    await apart.issuer().registry.clients.disable('streaming')
    await expect(reader?.read()).rejects.toThrow()
    await left.promise
    const line = apart.logged.findLast((each) => each['event'] === 'proxy.call')
    expect(line).toMatchObject({ decision: 'deny', reason: 'revoked' })
  })

  test('accepts no token while it has not heard the issuer, and keeps up again by itself', async () => {
    apart = await startApart()
    await apart.startProxy()
    const [token, revoked] = [await apart.issueToken('token'), await apart.issueToken('revoked')]
    await waitUntil('the log', async () => (await apart.statusOf(token)) === 200)
    await apart.stopIssuer()
    expect(await apart.statusOf(token)).toBe(200)
    apart.time.now += 61_000
    expect(await apart.statusOf(token)).toBe(503)
    await apart.startIssuer()
    await apart.issuer().registry.clients.disable('revoked')
    await waitUntil('the log', async () => (await apart.statusOf(token)) === 200)
    await waitUntil('the refusal', async () => (await apart.statusOf(revoked)) === 401)
  })

  test('does not start without a client of its own, unless revocations are off', async () => {
    apart = await startApart()
    const withoutClient = () =>
      apart.startProxy((config) => {
        const { clientId: _id, clientKeyFile: _file, ...proxy } = config.proxy
        return { ...config, proxy }
      })
    const error = await withoutClient().catch((thrown: unknown) => thrown)
    expect(error).toBeInstanceOf(ConfigError)
    expect(error).toMatchObject({
      problems: [expect.stringContaining('needs proxy.clientId and proxy.clientKeyFile')],
      hint: expect.stringContaining('revocations.feed=off'),
    })
  })

  test('does not start with a bound on staleness below the heartbeat, or without its key', async () => {
    apart = await startApart()
    await expect(
      apart.startProxy((config) => ({
        ...config,
        revocations: { ...config.revocations, maxStalenessSeconds: 9 },
      })),
    ).rejects.toThrow('must be 10 or more')
    await expect(
      apart.startProxy((config) => ({
        ...config,
        proxy: { ...config.proxy, clientKeyFile: `${apart.dir}/none.jwk` },
      })),
    ).rejects.toThrow('is not there')
  })
})
