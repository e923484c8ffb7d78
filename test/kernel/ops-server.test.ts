import { Gauge, Registry } from 'prom-client'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { HttpServer } from '../../src/kernel/http-server.ts'
import { createMetricsRegistry } from '../../src/kernel/metrics.ts'
import { startOpsServer, type CheckResult } from '../../src/kernel/ops-server.ts'
import { createTestLog } from '../support/log-lines.ts'

const { log, lines } = createTestLog()
const registry = createMetricsRegistry()
const results: Record<'keys' | 'feed', CheckResult> = {
  keys: { status: 'ok' },
  feed: { status: 'ok' },
}
let server: HttpServer
let url = ''

const startOn = (registry: Registry) =>
  startOpsServer({
    name: 'proxy.opsListen',
    listen: { host: '127.0.0.1', port: 0 },
    registry,
    readiness: { keys: () => results.keys, feed: () => results.feed },
    log,
  })

beforeAll(async () => {
  server = await startOn(registry)
  url = `http://127.0.0.1:${server.address.port}`
})
afterAll(() => server.drain(0))

describe('/livez', () => {
  test('is 200 as long as the process answers, ready or not', async () => {
    results.keys = { status: 'unavailable' }
    const response = await fetch(`${url}/livez`)
    expect(response.status).toBe(200)
    expect(response.headers.get('content-type')).toBe('application/json')
    expect(response.headers.get('cache-control')).toBe('no-store')
    expect(await response.json()).toEqual({ status: 'ok', checks: {} })
  })
})

describe('/readyz', () => {
  test('is 200 when every check is ok', async () => {
    results.keys = { status: 'ok' }
    const response = await fetch(`${url}/readyz`)
    expect(response.status).toBe(200)
    expect(await response.json()).toEqual({
      status: 'ok',
      checks: { keys: { status: 'ok' }, feed: { status: 'ok' } },
    })
  })

  test('is 503 when one check is not, and says which and why', async () => {
    results.feed = { status: 'unavailable', detail: 'stale – 过期' }
    const response = await fetch(`${url}/readyz`)
    expect(response.status).toBe(503)
    expect(await response.json()).toEqual({
      status: 'unavailable',
      checks: { keys: { status: 'ok' }, feed: { status: 'unavailable', detail: 'stale – 过期' } },
    })
  })

  test('asks the checks anew each time', async () => {
    results.feed = { status: 'ok' }
    expect((await fetch(`${url}/readyz`)).status).toBe(200)
    results.feed = { status: 'unavailable' }
    expect((await fetch(`${url}/readyz`)).status).toBe(503)
    results.feed = { status: 'ok' }
  })

  test('answers HEAD without a body, and does not mind a query', async () => {
    const response = await fetch(`${url}/readyz?verbose`, { method: 'HEAD' })
    expect(response.status).toBe(200)
    expect(await response.text()).toBe('')
  })
})

describe('/metrics', () => {
  test('gives the registry in Prometheus’ text format, the process’s figures included', async () => {
    const gauge = new Gauge({ name: 'gatehouse_test', help: 'h', registers: [registry] })
    gauge.set(7)
    const response = await fetch(`${url}/metrics`)
    expect(response.status).toBe(200)
    expect(response.headers.get('content-type')).toMatch(/^text\/plain; version=/)
    const body = await response.text()
    expect(body).toMatch(/^gatehouse_test 7$/m)
    expect(body).toMatch(/^process_cpu_user_seconds_total /m)
  })

  test('is an opaque 500 that is in the log when a figure cannot be had', async () => {
    const broken = new Registry()
    const gauge = new Gauge({
      name: 'gatehouse_broken',
      help: 'h',
      registers: [broken],
      collect: () => {
        throw new TypeError('SECRET')
      },
    })
    expect(gauge).toBeDefined()
    const other = await startOn(broken)
    try {
      lines.length = 0
      const response = await fetch(`http://127.0.0.1:${other.address.port}/metrics`, {
        headers: { 'x-request-id': 'request-1' },
      })
      expect(response.status).toBe(500)
      const body = await response.text()
      expect(JSON.parse(body)).toMatchObject({ error: { code: 'internal_error' } })
      expect(body).not.toContain('SECRET')
      expect(lines.map((line) => JSON.parse(line) as unknown)).toMatchObject([
        { level: 'error', request_id: 'request-1', err: { type: 'TypeError' } },
      ])
    } finally {
      await other.drain(0)
    }
  })
})

describe('anything else on an ops listener', () => {
  test.each(['/', '/livez/', '//livez', '/LIVEZ', '/metrics.json', '/%6Civez'])(
    'is 404: %s',
    async (path) => {
      const response = await fetch(`${url}${path}`, { headers: { 'x-request-id': 'request-1' } })
      expect(response.status).toBe(404)
      expect(response.headers.get('x-request-id')).toBe('request-1')
      expect(await response.json()).toMatchObject({
        instance: 'request-1',
        error: { code: 'not_found' },
      })
    },
  )

  test.each(['POST', 'PUT', 'DELETE', 'OPTIONS'])('is 405 with Allow: %s', async (method) => {
    const response = await fetch(`${url}/livez`, { method })
    expect(response.status).toBe(405)
    expect(response.headers.get('allow')).toBe('GET, HEAD')
    expect(await response.json()).toMatchObject({ error: { code: 'method_not_allowed' } })
  })
})
