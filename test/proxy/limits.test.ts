import * as fc from 'fast-check'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { accountsOf } from '../../src/proxy/limited-accounts.ts'
import { createLimits } from '../../src/proxy/limits.ts'
import { FIRST_GUESS_TOKENS } from '../../src/store/counters.ts'
import { createMemoryCounters } from '../../src/store/memory-counters.ts'
import type { AccessToken } from '../../src/tokens/access-token.ts'
import type { LimitsClaim } from '../../src/tokens/claims.ts'
import { startLoneProxy, type LoneProxy } from '../support/lone-proxy.ts'
import { openRawConnection } from '../support/raw-connection.ts'
import { waitUntil } from '../support/wait-until.ts'

const MIDNIGHT = Date.UTC(2031, 4, 17)

describe('a proxy', () => {
  let proxy: LoneProxy
  beforeAll(async () => {
    proxy = await startLoneProxy(['limits.defaults.rpm=2'])
  })
  afterAll(() => proxy.close())
  beforeEach(() => {
    proxy.time.now = MIDNIGHT + 3_600_000
    proxy.model.answer((_req, res) => void res.end('{}'))
  })

  let named = 0
  /** Tokens of one fresh client, with these limits. */
  const clientWith = (limits: object | undefined) => {
    named += 1
    const client = { sub: `robot-${named}`, client_id: `robot-${named}` }
    return async (claims = {}) =>
      `Bearer ${await proxy.issuer.sign({ ...client, limits, ...claims })}`
  }
  const rateLimitOf = ({ headers }: Response) => headers.get('ratelimit')

  test('says on every answer what is left of each limit, and refuses what is too much', async () => {
    const tokenOf = clientWith({
      client: { rpm: 2, daily_requests: 100 },
      tenant: { rpm: 1000, concurrency: 4 },
    })
    const first = await proxy.call(await tokenOf())
    expect([first.status, rateLimitOf(first)]).toEqual([
      200,
      '"rpm";r=1;t=60, "concurrency";r=3, "daily_requests";r=99;t=82800',
    ])
    expect(first.headers.get('ratelimit-policy')).toBe(
      '"rpm";q=2;w=60, "concurrency";q=4;qu="concurrent-requests", "daily_requests";q=100;w=86400',
    )
    proxy.time.now += 10_000
    // It is the client that is counted, whatever token it comes with.
    expect((await proxy.call(await tokenOf())).status).toBe(200)
    const refused = await proxy.call(await tokenOf())
    expect([refused.status, refused.headers.get('retry-after'), rateLimitOf(refused)]).toEqual([
      429,
      '50',
      '"rpm";r=0;t=50, "concurrency";r=4, "daily_requests";r=98;t=82790',
    ])
    expect(await refused.json()).toMatchObject({
      type: 'urn:gatehouse:error:rate_limited',
      detail: 'The client may use no more than 2 requests in a minute.',
      error: { code: 'rate_limited' },
    })
    await waitUntil('the line', async () => proxy.logged.at(-1)?.['status'] === 429)
    expect(proxy.logged.at(-1)).toMatchObject({ decision: 'deny', reason: 'client_rpm' })
    proxy.time.now += 50_000
    expect((await proxy.call(await tokenOf())).status).toBe(200)
  })

  test('lets a tenant use nothing of another, and a client of one tenant nothing of its namesake', async () => {
    const tokenOf = clientWith({ client: { daily_requests: 1 }, tenant: { daily_requests: 2 } })
    for (const tenant_id of ['a', 'b', 'a:b', '{a}', 'ä']) {
      expect((await proxy.call(await tokenOf({ tenant_id }))).status).toBe(200)
      const other = { tenant_id, client_id: 'other' }
      expect((await proxy.call(await tokenOf(other))).status).toBe(200)
      expect((await proxy.call(await tokenOf(other))).status).toBe(429)
    }
  })

  test('frees the place of a request that is over, also when its client has left', async () => {
    const token = await clientWith({ subject: { concurrency: 1 } })()
    let reached = 0
    proxy.model.answer((_req, res) => {
      reached += 1
      if (reached > 1) res.end('{}')
    })
    const left = new AbortController()
    const first = proxy.call(token, { signal: left.signal }).catch(() => undefined)
    await waitUntil('the first is at the model server', async () => reached === 1)
    const refused = await proxy.call(token)
    expect([refused.status, refused.headers.get('retry-after')]).toEqual([429, '1'])
    left.abort()
    await first
    await waitUntil('its place is free', async () => (await proxy.call(token)).status === 200)
  })

  test('gives the limits of this installation to the subjects of tokens that have none', async () => {
    const unlimited = clientWith(undefined)
    const limited = clientWith({ client: { rpm: 9 } })
    const statuses = async (tokenOf: (claims?: object) => Promise<string>, claims = {}) => [
      (await proxy.call(await tokenOf(claims))).status,
      (await proxy.call(await tokenOf(claims))).status,
      (await proxy.call(await tokenOf(claims))).status,
    ]
    expect(await statuses(unlimited)).toEqual([200, 200, 429])
    expect(await statuses(unlimited, { sub: 'user:1' })).toEqual([200, 200, 429])
    expect(await statuses(unlimited, { sub: 'user:2', limits: { weight: 5 } })).toEqual([
      200, 200, 429,
    ])
    expect(await statuses(limited)).toEqual([200, 200, 200])
  })

  test('shows its own limits where the model server sends some, too', async () => {
    proxy.model.answer((_req, res) => void res.setHeader('RateLimit', '"theirs";r=7').end('{}'))
    const answer = await proxy.call(await clientWith({ client: { concurrency: 2 } })())
    expect(rateLimitOf(answer)).toBe('"concurrency";r=1')
  })

  test('says what is left also where the model server has failed', async () => {
    proxy.model.answer((req) => void req.socket.resetAndDestroy())
    const failed = await proxy.call(await clientWith({ client: { rpm: 2 } })())
    expect([failed.status, rateLimitOf(failed)]).toEqual([502, '"rpm";r=1;t=60'])
  })

  test('does not count against the day what it never sent to the model server', async () => {
    const token = await clientWith({ client: { daily_requests: 1 } })()
    const body = Buffer.alloc(proxy.config.proxy.maxBodyBytes + 1)
    const refused = await proxy.call(token, { body })
    expect([refused.status, rateLimitOf(refused)]).toEqual([413, '"daily_requests";r=0;t=82800'])
    await waitUntil('the call is over', async () => (await proxy.call(token)).status === 200)
    expect((await proxy.call(token)).status).toBe(429)
  })

  test('does not count against the day what no model server has had whole', async () => {
    const small = await startLoneProxy(['proxy.maxBodyBytes=1000'])
    const token = `Bearer ${await small.issuer.sign({ limits: { client: { daily_requests: 5 } } })}`
    const begin = async (rest: string) => {
      const connection = await openRawConnection(small.port)
      connection.send(`POST /ocr/infer HTTP/1.1\r\nHost: x\r\nAuthorization: ${token}\r\n${rest}`)
      return connection
    }
    const tooLarge = await begin(
      `Transfer-Encoding: chunked\r\n\r\n7d0\r\n${'x'.repeat(2000)}\r\n0\r\n\r\n`,
    )
    await tooLarge.receives((text) => text.includes(' 413 '))
    const leaving = await begin('Content-Length: 9\r\n\r\nx')
    const isLogged = (reason: string) => async () =>
      small.logged.some((line) => line['reason'] === reason && line['upstream'] !== undefined)
    await waitUntil('it holds a slot', async () => {
      const metrics = await fetch(`http://${small.config.proxy.opsListen}/metrics`)
      return /^gatehouse_proxy_in_flight.* 1$/m.test(await metrics.text())
    })
    leaving.socket.destroy()
    await waitUntil('the client has left', isLogged('client_gone'))
    await small.model.close()
    expect((await small.call(token)).status).toBe(502)
    const usage = await small.call(token, { method: 'GET', body: null }, '/_gatehouse/usage')
    expect(rateLimitOf(usage)).toContain('"daily_requests";r=5;')
    await small.close()
  })

  test('tells callers what they have left, without counting that', async () => {
    const tokenOf = clientWith({
      client: { rpm: 2, concurrency: 4 },
      tenant: { daily_tokens: 100_000 },
    })
    const usage = (authorization?: string, method = 'GET') =>
      proxy.call(authorization, { method, body: null }, '/_gatehouse/usage')
    const claims = { sub: 'user:1', tenant_id: 'a tenant' }
    await proxy.call(await tokenOf(claims))
    await proxy.call(await tokenOf(claims))
    expect((await proxy.call(await tokenOf(claims))).status).toBe(429)
    const answer = await usage(await tokenOf(claims))
    expect([answer.status, answer.headers.get('cache-control'), rateLimitOf(answer)]).toEqual([
      200,
      'no-store',
      '"rpm";r=0;t=60, "concurrency";r=4, "daily_tokens";r=100000;t=82800',
    ])
    expect(await answer.json()).toEqual({
      tenant_id: 'a tenant',
      client_id: `robot-${named}`,
      sub: 'user:1',
      limits: {
        client: {
          rpm: { quota: 2, remaining: 0, resets_in_seconds: 60 },
          concurrency: { quota: 4, remaining: 4 },
        },
        tenant: { daily_tokens: { quota: 100_000, remaining: 100_000, resets_in_seconds: 82_800 } },
      },
    })
    expect(await (await usage(await tokenOf({ tenant_id: 'other' }))).json()).toMatchObject({
      limits: { client: { rpm: { remaining: 2 } } },
    })
    expect((await usage()).status).toBe(401)
    expect((await usage(await tokenOf({ scope: 'other' }))).status).toBe(403)
    expect((await usage(await tokenOf(), 'POST')).status).toBe(405)
    const head = await usage(await tokenOf(), 'HEAD')
    expect([head.status, await head.text()]).toEqual([200, ''])
    const unlimited = { limits: { client: {}, weight: 2 }, sub: 'nobody' }
    expect(await (await usage(await tokenOf(unlimited))).json()).toMatchObject({
      limits: { subject: { rpm: { quota: 2, remaining: 2 } } },
    })
  })

  test('charges the tokens that the model server says it took, also of what was broken off', async () => {
    const token = await clientWith({ client: { daily_tokens: 100 } })()
    proxy.model.answer((req, res) => {
      req.resume()
      res.setHeader('content-type', 'application/json')
      res.end('{"usage":{"prompt_tokens":60,"completion_tokens":15}}')
    })
    const first = await proxy.call(token)
    expect([await first.text(), rateLimitOf(first)]).toEqual([
      '{"usage":{"prompt_tokens":60,"completion_tokens":15}}',
      '"daily_tokens";r=100;t=82800',
    ])
    const remaining = async () =>
      rateLimitOf(await proxy.call(token, { method: 'GET', body: null }, '/_gatehouse/usage'))
    await waitUntil('it is charged', async () => (await remaining()) !== rateLimitOf(first))
    expect(await remaining()).toBe('"daily_tokens";r=25;t=82800')
    proxy.model.answer((req, res) => {
      req.resume()
      res.setHeader('content-type', 'text/event-stream')
      res.write('data: {"choices":[{"delta":{"content":"a"}}]}\n\n')
      res.write('data: {"choices":[],"usage":{"prompt_tokens":30,"completion_tokens":1}}\n\n')
    })
    const left = new AbortController()
    const second = await proxy.call(token, { signal: left.signal })
    await second.body?.getReader().read()
    left.abort()
    await waitUntil(
      'that is charged, too',
      async () => (await remaining())?.includes('r=0') === true,
    )
    const third = await proxy.call(token)
    expect([third.status, third.headers.get('retry-after')]).toEqual([429, '82800'])
  })

  test('charges what was set aside for it to a call that is hung up on before it says what it took', async () => {
    const token = await clientWith({ client: { daily_tokens: 10_000 } })()
    const question = { method: 'GET', body: null }
    const hangUp = async (init: RequestInit, path?: string, begun = '') => {
      const hangingUp = new AbortController()
      proxy.model.answer((req, res) => {
        res.setHeader('content-type', 'text/event-stream')
        if (begun !== '') res.write(begun)
        req.resume().once('end', () => hangingUp.abort())
      })
      const call = proxy.call(token, { ...init, signal: hangingUp.signal }, path)
      await call.then((response) => response.text()).catch(() => undefined)
    }
    const left = async () => rateLimitOf(await proxy.call(token, question, '/_gatehouse/usage'))
    const leaves = (tokens: number) => `"daily_tokens";r=${10_000 - tokens};t=82800`
    await hangUp(question, '/v1/models')
    await hangUp({})
    const [one, two] = [leaves(FIRST_GUESS_TOKENS), leaves(2 * FIRST_GUESS_TOKENS)]
    await waitUntil('it is charged', async () => (await left()) === one)
    await hangUp({}, undefined, 'data: {"choices":[{"delta":{"content":"a"}}]}\n\n')
    await waitUntil('that is charged, too', async () => (await left()) !== one)
    expect(await left()).toBe(two)
  })

  test('says nothing of limits where there are none, or nobody has shown a token', async () => {
    for (const answer of [
      await proxy.call(undefined, { method: 'GET', body: null }, '/health'),
      await proxy.call(),
      await proxy.call(await clientWith({ client: { rpm: 1 } })({ scope: '' })),
    ]) {
      expect([answer.headers.has('ratelimit'), answer.headers.has('ratelimit-policy')]).toEqual([
        false,
        false,
      ])
    }
  })
})

const tokenOf = (
  { tenantId = 'default', clientId = 'robot', subject = 'robot' },
  limits: LimitsClaim,
): AccessToken => ({
  kid: 'k',
  jti: 'j',
  subject,
  clientId,
  audiences: [],
  tenantId,
  scopes: [],
  limits,
  issuedAt: 0,
  expiresAt: 0,
  confirmation: undefined,
})

describe('the accounts of a token', () => {
  const all = { subject: { rpm: 1 }, client: { rpm: 2 }, tenant: { rpm: 3 } }

  test('are never those of other names, whatever is in them', () => {
    const name = fc.oneof(
      fc.string({ maxLength: 4 }),
      fc.string({ unit: fc.constantFrom(':', '{', '}', '"', ',', '\\', 'é'), maxLength: 4 }),
      fc.constantFrom('\ud800', '\udfff', '\ufffd'),
    )
    const who = fc.record({ tenantId: name, clientId: name, subject: name })
    fc.assert(
      fc.property(who, who, (one, two) => {
        const [a, b] = [one, two].map((each) =>
          accountsOf(tokenOf(each, all), undefined)?.accounts.map(({ id }) => id),
        )
        const isSameTenant = one.tenantId === two.tenantId
        expect([a?.[0] === b?.[0], a?.[1] === b?.[1], a?.[2] === b?.[2]]).toEqual([
          isSameTenant && one.subject === two.subject,
          isSameTenant && one.clientId === two.clientId,
          isSameTenant,
        ])
        expect(new Set(a).size).toBe(3)
      }),
    )
  })

  test('are none where nothing is limited', () => {
    for (const limits of [{}, { weight: 2 }, { client: {} }, { client: { rpm: undefined } }]) {
      expect(accountsOf(tokenOf({}, limits), undefined)).toBeUndefined()
      expect(accountsOf(tokenOf({}, limits), {})).toBeUndefined()
    }
  })
})

test('other defaults apply at once, also to callers who are known', async () => {
  const limits = createLimits(createMemoryCounters(Date.now), undefined)
  const caller = tokenOf({}, {})
  expect(limits.enter(caller)).toBeUndefined()
  limits.setDefaults({ concurrency: 1 })
  expect((await limits.enter(caller))?.headers['ratelimit']).toBe('"concurrency";r=0')
  await expect(async () => limits.enter(caller)).rejects.toMatchObject({
    reason: 'subject_concurrency',
  })
  limits.setDefaults(undefined)
  expect(limits.enter(caller)).toBeUndefined()
})

describe('a budget of tokens', () => {
  const time = { now: MIDNIGHT }
  const limits = createLimits(
    createMemoryCounters(() => time.now),
    undefined,
  )
  const caller = tokenOf({}, { client: { daily_tokens: 100 }, tenant: { daily_tokens: 1000 } })

  test('is charged with what the model server says, and refuses until midnight when it is used up', async () => {
    const first = await limits.enter(caller)
    expect(first?.headers['ratelimit']).toBe('"daily_tokens";r=100;t=86400')
    first?.settle({ prompt_tokens: 60, completion_tokens: 10, images: 1 }, { wasServed: true })
    const second = await limits.enter(caller)
    // As much again is set aside for the second: a third might be too much, and shall ask again soon.
    await expect(async () => limits.enter(caller)).rejects.toMatchObject({
      reason: 'client_daily_tokens',
      headers: { 'retry-after': '1' },
    })
    second?.settle({ completion_tokens: 40 }, { wasServed: true })
    await expect(async () => limits.enter(caller)).rejects.toMatchObject({
      code: 'rate_limited',
      message: 'The client may use no more than 100 model tokens in a day.',
      headers: { 'retry-after': '86400', ratelimit: '"daily_tokens";r=0;t=86400' },
    })
    expect(await limits.read(caller)).toMatchObject([
      { level: 'client', name: 'daily_tokens', quota: 100, remaining: 0 },
      { level: 'tenant', name: 'daily_tokens', quota: 1000, remaining: 890 },
    ])
    time.now += 86_400_000
    expect((await limits.enter(caller))?.headers['ratelimit']).toBe('"daily_tokens";r=100;t=86400')
  })
})
