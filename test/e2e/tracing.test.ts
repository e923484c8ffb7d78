import { globSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { startCollector, type CollectedSpan, type Collector } from '../support/collector.ts'
import { startGatehouse, type Gatehouse } from '../support/gatehouse.ts'
import { startModelServer, type ModelServer } from '../support/model-server.ts'

const TRACE = 'a'.repeat(32)
const PARENT = 'b'.repeat(16)

let collector: Collector
let model: ModelServer
let gatehouse: Gatehouse | undefined
beforeEach(async () => {
  collector = await startCollector()
  model = await startModelServer()
})
afterEach(async () => {
  await gatehouse?.close()
  gatehouse = undefined
  await Promise.all([collector.close(), model.close()])
})

async function start(...set: string[]): Promise<Gatehouse> {
  gatehouse = await startGatehouse(model.url, set)
  return gatehouse
}

/** What is sent when both have ended. */
async function spansOf(running: Gatehouse): Promise<CollectedSpan[]> {
  await running.close()
  gatehouse = undefined
  return collector.spans
}

const traced = () => [
  `tracing.otlpEndpoint=${collector.url}`,
  'tracing.otlpAuthorization=Basic c2VjcmV0',
]

const call = async (running: Gatehouse, token: string, headers: Record<string, string> = {}) => {
  const response = await fetch(`${running.config.proxy.url}/ocr/infer?file=SECRET`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, ...headers },
    body: '{"SECRET":1}',
  })
  await response.arrayBuffer()
  return response.status
}

test('a call goes on in the caller’s trace, through to the model server, and is flushed at the end', async () => {
  const running = await start(...traced())
  const client = await running.createClient({ client_id: 'robot' })
  const answer = (await (await running.requestToken(client)).json()) as { access_token: string }
  const traceparent = `00-${TRACE}-${PARENT}-01`
  expect(await call(running, answer.access_token, { traceparent, tracestate: 'v=1' })).toBe(200)
  const received = model.received.find(({ target }) => target.startsWith('/ocr/infer'))
  const spans = await spansOf(running)

  const served = spans.find(({ name }) => name === 'POST /ocr/infer')
  const asked = spans.find(({ name }) => name === 'POST')
  expect(served).toMatchObject({
    service: 'gatehouse-proxy',
    traceId: TRACE,
    parentSpanId: PARENT,
    kind: 2,
    status: {},
    attributes: {
      'http.request.method': 'POST',
      'http.route': '/ocr/infer',
      'http.response.status_code': '200',
      'gatehouse.decision': 'allow',
      'gatehouse.client_id': 'robot',
      'gatehouse.tenant_id': 'default',
    },
  })
  expect(asked).toMatchObject({
    traceId: TRACE,
    parentSpanId: served?.spanId,
    kind: 3,
    attributes: {
      'server.address': '127.0.0.1',
      'server.port': new URL(model.url).port,
      'http.response.status_code': '200',
    },
  })
  expect(received?.headers).toMatchObject({
    traceparent: `00-${TRACE}-${asked?.spanId}-01`,
    tracestate: 'v=1',
  })
  expect(spans.find(({ name }) => name === 'POST /token')).toMatchObject({
    service: 'gatehouse-issuer',
    attributes: {
      'gatehouse.client_id': 'robot',
      'gatehouse.grant_type': 'client_credentials',
      'gatehouse.decision': 'allow',
    },
  })
  expect(new Set(collector.authorizations)).toEqual(new Set(['Basic c2VjcmV0']))
  const all = JSON.stringify(spans)
  for (const hidden of ['SECRET', answer.access_token, client.clientSecret]) {
    expect(all).not.toContain(hidden)
  }
})

test('what is refused or fails is seen, and unknown paths are no names', async () => {
  const running = await start(...traced())
  const token = await running.issueToken()
  model.answer((_req, res) => void res.destroy())
  expect(await call(running, token)).toBe(502)
  expect(await call(running, 'no token')).toBe(401)
  await (await fetch(`${running.config.proxy.url}/SECRET-path`)).arrayBuffer()
  const client = await running.createClient()
  await (await running.requestToken({ ...client, clientSecret: 'wrong' })).arrayBuffer()
  const spans = await spansOf(running)
  const statuses = (name: string) =>
    spans
      .filter((each) => each.name === name)
      .map(({ status, attributes }) => [attributes['http.response.status_code'], status.code])
  expect(statuses('POST /ocr/infer')).toEqual([
    ['502', 2],
    ['401', undefined],
  ])
  expect(statuses('GET')).toEqual([['404', undefined]])
  expect(spans.find(({ name }) => name === 'POST')).toMatchObject({
    status: { code: 2 },
    attributes: { 'error.type': 'upstream_unreachable' },
  })
  const reasons = spans.filter(({ name }) => name === 'POST /token')
  expect(reasons.at(-1)?.attributes).toMatchObject({ 'gatehouse.reason': 'invalid_client' })
  expect(JSON.stringify(spans)).not.toContain('SECRET')
})

test('who asks not to be recorded is not, and the model server is told so', async () => {
  const running = await start(...traced())
  const token = await running.issueToken()
  expect(await call(running, token, { traceparent: `00-${TRACE}-${PARENT}-00` })).toBe(200)
  expect(model.received.at(-1)?.headers['traceparent']).toMatch(
    new RegExp(`^00-${TRACE}-(?!${PARENT})[0-9a-f]{16}-00$`),
  )
  expect((await spansOf(running)).filter(({ traceId }) => traceId === TRACE)).toEqual([])
})

test('a collector that is away or refuses disturbs no call, and the log says so once', async () => {
  collector.answerWith(503)
  const running = await start(...traced())
  const token = await running.issueToken()
  for (let i = 0; i < 3; i += 1) expect(await call(running, token)).toBe(200)
  const { logged } = running
  expect(await spansOf(running)).toEqual([])
  expect(collector.requests).toBe(2)
  const unsent = logged.filter((line) => line['event'] === 'tracing.unsent')
  expect(unsent).toHaveLength(2)
  expect(JSON.stringify(unsent)).not.toContain('c2VjcmV0')
})

test('off, nothing is loaded or sent, and a traceparent passes as it came', async () => {
  const root = fileURLToPath(new URL('../../src/', import.meta.url))
  const importers = globSync('**/*.ts', { cwd: root }).filter((path) =>
    /^(?:import|export)[^(]* from '.*\/(?:otlp-tracing|spans)\.ts'$/m.test(
      readFileSync(`${root}/${path}`, 'utf8').replaceAll(/^import type .*$/gm, ''),
    ),
  )
  expect(importers).toEqual(['kernel/otlp-tracing.ts'])

  const running = await start()
  const token = await running.issueToken()
  const traceparent = `00-${TRACE}-${PARENT}-01`
  expect(await call(running, token, { traceparent })).toBe(200)
  expect(model.received.at(-1)?.headers['traceparent']).toBe(traceparent)
  await spansOf(running)
  expect(collector.requests).toBe(0)
})
