import { once } from 'node:events'
import { request, type IncomingMessage } from 'node:http'
import { connect } from 'node:net'
import { afterEach, describe, expect, test } from 'vitest'
import { startLoneProxy, type LoneProxy } from '../support/lone-proxy.ts'
import { startModelServer, type ModelServer } from '../support/model-server.ts'

const closers: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const close of closers.splice(0).toReversed()) await close()
})

async function startModel(port = 0): Promise<ModelServer> {
  const model = await startModelServer(port)
  closers.push(model.close)
  return model
}

async function startProxyBefore(models: readonly { url: string }[], set: string[] = []) {
  const urls = models.map(({ url }) => url).join(',')
  const proxy = await startLoneProxy([`proxy.upstreams=${urls}`, ...set])
  closers.push(proxy.close)
  const authorization = `Bearer ${await proxy.issuer.sign()}`
  return { proxy, call: (init?: RequestInit) => proxy.call(authorization, init) }
}

const ops = async ({ config }: LoneProxy, path: string) =>
  fetch(`http://${config.proxy.opsListen}${path}`)

async function readinessOf(proxy: LoneProxy) {
  const response = await ops(proxy, '/readyz')
  const { checks } = (await response.json()) as { checks: Record<string, unknown> }
  return { status: response.status, upstreams: checks['upstreams'] }
}

const changesOf = ({ logged }: LoneProxy) =>
  logged.flatMap(({ event, upstream, reason }) =>
    String(event).startsWith('upstream.') ? [[event, upstream, reason]] : [],
  )

describe('active checks', () => {
  const EVERY_SECOND = ['proxy.healthCheck.intervalSeconds=1']

  test('take out a model server that says it is ill, and bring it back', async () => {
    const model = await startModel()
    let status = 503
    model.answer((req, res) => {
      req.resume()
      res.writeHead(req.url === '/health' ? status : 200).end('{}')
    })
    const { proxy, call } = await startProxyBefore([model], EVERY_SECOND)
    await expect.poll(async () => (await call()).status).toBe(503)

    const refused = await call()
    expect(refused.headers.get('retry-after')).toBe('1')
    expect(await refused.json()).toMatchObject({ error: { code: 'temporarily_unavailable' } })
    expect(await readinessOf(proxy)).toEqual({
      status: 503,
      upstreams: { status: 'unavailable', detail: `${model.url}: check_failed (status 503)` },
    })
    const metrics = async () => (await ops(proxy, '/metrics')).text()
    expect(await metrics()).toContain(`gatehouse_upstream_healthy{upstream="${model.url}"} 0`)

    status = 200
    await expect.poll(async () => (await call()).status, { timeout: 3000 }).toBe(200)
    expect(await readinessOf(proxy)).toMatchObject({ upstreams: { status: 'ok' } })
    expect(await metrics()).toContain(`gatehouse_upstream_healthy{upstream="${model.url}"} 1`)
    expect(changesOf(proxy)).toEqual([
      ['upstream.ejected', model.url, 'check_failed'],
      ['upstream.usable', model.url, undefined],
    ])
  })

  test('are content with a model server that has no such endpoint', async () => {
    const model = await startModel()
    let checks = 0
    model.answer((req, res) => {
      req.resume()
      if (req.url === '/health') checks += 1
      res.writeHead(req.url === '/health' ? 404 : 200).end('{}')
    })
    const { call } = await startProxyBefore([model], EVERY_SECOND)
    await expect.poll(() => checks).toBeGreaterThan(0)
    expect((await call()).status).toBe(200)
  })

  test('need no end of the answer', async () => {
    const model = await startModel()
    let status = 200
    let checks = 0
    model.answer((req, res) => {
      req.resume()
      if (req.url !== '/health') return void res.end('{}')
      checks += 1
      res.writeHead(status).write('so far ')
    })
    const { proxy, call } = await startProxyBefore([model], EVERY_SECOND)
    await expect.poll(() => checks).toBeGreaterThan(0)
    expect((await call()).status).toBe(200)
    status = 503
    await expect
      .poll(() => changesOf(proxy), { timeout: 3000 })
      .toEqual([['upstream.ejected', model.url, 'check_failed']])
  })

  test('find a model server again that was away', async () => {
    const model = await startModelServer()
    const port = Number(new URL(model.url).port)
    const { proxy, call } = await startProxyBefore([model], EVERY_SECOND)
    expect((await call()).status).toBe(200)
    await model.close()
    await expect.poll(async () => (await call()).status, { timeout: 3000 }).toBe(503)
    expect(await readinessOf(proxy)).toMatchObject({
      status: 503,
      upstreams: { detail: `${model.url}: check_failed (ECONNREFUSED)` },
    })
    await startModel(port)
    await expect.poll(async () => (await call()).status, { timeout: 3000 }).toBe(200)
  })
})

test('a model server gets its key, and never the token of the caller', async () => {
  const model = await startModel()
  const { call } = await startProxyBefore([model], ['proxy.upstreamApiKey=sk-of-the-model'])
  expect((await call()).status).toBe(200)
  expect(model.received[0]?.headers['authorization']).toBe('Bearer sk-of-the-model')
})

describe('what requests meet', () => {
  test('one that takes requests and answers none is left out, and tried by one request at a time', async () => {
    const [good, stuck] = [await startModel(), await startModel()]
    let isStuck = true
    let atStuck = 0
    stuck.answer((req, res) => {
      req.resume()
      atStuck += 1
      if (!isStuck) res.end('fine')
    })
    const { proxy, call } = await startProxyBefore(
      [good, stuck],
      ['proxy.firstByteTimeoutSeconds=1'],
    )
    const statuses = await Promise.all([call(), call()].map(async (one) => (await one).status))
    expect(new Set(statuses)).toEqual(new Set([200, 504]))
    expect(changesOf(proxy)).toEqual([['upstream.ejected', stuck.url, 'no_progress']])
    expect(await readinessOf(proxy)).toMatchObject({
      status: 200,
      upstreams: {
        status: 'ok',
        detail: `${stuck.url}: no_progress (UPSTREAM_FIRST_BYTE_TIMEOUT)`,
      },
    })

    const ejectedAt = atStuck
    expect((await call()).status).toBe(200)
    expect(atStuck).toBe(ejectedAt)

    isStuck = false
    await expect
      .poll(
        async () => {
          await call()
          return changesOf(proxy).length
        },
        { timeout: 3000 },
      )
      .toBe(2)
    expect(changesOf(proxy)[1]).toEqual(['upstream.usable', stuck.url, undefined])
  })

  test('one that answers none before its impatient callers leave is left out as well', async () => {
    const [good, stuck] = [await startModel(), await startModel()]
    let gotOne = (): void => undefined
    stuck.answer((req) => {
      req.resume()
      gotOne()
    })
    const { proxy, call } = await startProxyBefore(
      [good, stuck],
      ['proxy.firstByteTimeoutSeconds=1'],
    )
    await expect
      .poll(
        async () => {
          const patience = new AbortController()
          gotOne = () => patience.abort()
          await call({ signal: patience.signal }).catch(() => undefined)
          return changesOf(proxy)
        },
        { timeout: 30_000, interval: 1 },
      )
      .toEqual([['upstream.ejected', stuck.url, 'no_progress']])
  })

  test('one whose answer is not taken is not left out for that', async () => {
    const models = [await startModel(), await startModel()]
    for (const model of models) {
      model.answer((req, res) => {
        req.resume()
        const pump = () => {
          while (res.write(Buffer.alloc(65_536)));
        }
        res.on('drain', pump)
        pump()
      })
    }
    const { proxy } = await startProxyBefore(models, ['proxy.idleTimeoutSeconds=1'])
    const authorization = `Bearer ${await proxy.issuer.sign()}`
    const client = connect(proxy.port, '127.0.0.1').pause()
    closers.push(async () => void client.destroy())
    client.write(
      `POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nAuthorization: ${authorization}\r\nContent-Length: 2\r\n\r\n{}`,
    )
    const reasons = () =>
      proxy.logged.filter(({ event }) => event === 'proxy.call').map(({ reason }) => reason)
    await expect.poll(reasons, { timeout: 10_000 }).toEqual(['client_gone'])
    expect(changesOf(proxy)).toEqual([])
  })

  test('one that takes no connection is left out, and no caller notices', async () => {
    const [good, gone] = [await startModel(), await startModelServer()]
    const { proxy, call } = await startProxyBefore([gone, good])
    await gone.close()
    const bodies = ['{}', 'x'.repeat(300_000), '{}', 'y'.repeat(300_000)]
    for (const body of bodies) expect((await call({ body })).status).toBe(200)
    expect(good.received.map(({ body }) => body.toString())).toEqual(bodies)
    expect(changesOf(proxy)).toEqual([['upstream.ejected', gone.url, 'unreachable']])
    const upstreams = proxy.logged.flatMap(({ event, upstream }) =>
      event === 'proxy.call' ? [upstream] : [],
    )
    expect(new Set(upstreams)).toEqual(new Set([good.url]))

    await startModel(Number(new URL(gone.url).port))
    await expect
      .poll(
        async () => {
          expect((await call()).status).toBe(200)
          return changesOf(proxy).length
        },
        { timeout: 3000 },
      )
      .toBe(2)
  })

  test('many that take no connection leave no listeners behind', async () => {
    const dead = Array.from({ length: 12 }, (_, i) => ({ url: `http://127.0.0.1:${i + 2}` }))
    const { call } = await startProxyBefore(dead, ['proxy.healthCheck.intervalSeconds=0'])
    const warnings: string[] = []
    const note = ({ message }: Error) => void warnings.push(message)
    process.on('warning', note)
    expect((await call()).status).toBe(502)
    process.off('warning', note)
    expect(warnings.filter((message) => /close|abort/.test(message))).toEqual([])
  })

  test('a POST that a connection has taken is sent nowhere else, and a GET is', async () => {
    const models = [await startModel(), await startModel()]
    let arrived = 0
    for (const model of models) {
      model.answer((req) => {
        arrived += 1
        req.socket.destroy()
      })
    }
    const { proxy, call } = await startProxyBefore(models)
    expect((await call()).status).toBe(502)
    expect(arrived).toBe(1)
    const headers = { authorization: `Bearer ${await proxy.issuer.sign()}` }
    expect((await fetch(`${proxy.url}/v1/models`, { headers })).status).toBe(502)
    expect(arrived).toBe(3)
    expect(changesOf(proxy)).toEqual([])
  })

  test('nor is a GET whose body is streamed: the rest of it would be taken for the whole', async () => {
    const models = [await startModel(), await startModel()]
    let arrived = 0
    for (const model of models) {
      model.answer((req) => {
        arrived += 1
        req.on('data', () => req.socket.destroy())
      })
    }
    const { proxy } = await startProxyBefore(models)
    const authorization = `Bearer ${await proxy.issuer.sign()}`
    const headers = { authorization, 'transfer-encoding': 'chunked' }
    const req = request(`${proxy.url}/v1/models`, { headers })
    req.write('hello')
    const [response] = (await once(req, 'response')) as [IncomingMessage]
    expect([response.statusCode, arrived]).toEqual([502, 1])
    req.destroy()
  })

  test('one that resets POSTs at once, and answers everything else, is left out after three', async () => {
    const [good, bad] = [await startModel(), await startModel()]
    let isIll = true
    bad.answer((req, res) => {
      req.resume()
      if (isIll && req.method === 'POST') req.on('end', () => req.socket.destroy())
      else res.end('fine')
    })
    const { proxy, call } = await startProxyBefore([good, bad])
    const statuses: number[] = []
    while (changesOf(proxy).length === 0 && statuses.length < 20) {
      statuses.push((await call()).status)
    }
    expect(statuses.filter((status) => status === 502)).toHaveLength(3)
    expect(changesOf(proxy)).toEqual([['upstream.ejected', bad.url, 'broken_off']])
    for (let i = 0; i < 5; i += 1) expect((await call()).status).toBe(200)

    isIll = false
    await expect
      .poll(
        async () => {
          expect((await call()).status).toBe(200)
          return changesOf(proxy)[1]
        },
        { timeout: 3000 },
      )
      .toEqual(['upstream.usable', bad.url, undefined])
  })

  test('does not eject the last model server', async () => {
    const model = await startModelServer()
    const { proxy, call } = await startProxyBefore([model])
    await model.close()
    expect((await call()).status).toBe(502)
    expect((await call()).status).toBe(502)
    expect(changesOf(proxy)).toEqual([])
    expect(await readinessOf(proxy)).toMatchObject({ upstreams: { status: 'ok' } })
  })
})
