import { afterAll, beforeAll, expect, test } from 'vitest'
import { startGatehouse, type Gatehouse } from '../support/gatehouse.ts'
import { readMetrics, samplesOf, type Sample } from '../support/metrics.ts'
import { startModelServer, type ModelServer } from '../support/model-server.ts'
import { waitUntil } from '../support/wait-until.ts'

let model: ModelServer
let gatehouse: Gatehouse
beforeAll(async () => {
  model = await startModelServer()
  gatehouse = await startGatehouse(model.url)
})
afterAll(async () => {
  await gatehouse.close()
  await model.close()
})

const proxyMetrics = async () => samplesOf(await readMetrics(gatehouse.config.proxy.opsListen))
const issuerMetrics = async () => samplesOf(await readMetrics(gatehouse.config.issuer.opsListen))

const valueOf = (samples: readonly Sample[], name: string, labels: Record<string, string> = {}) =>
  samples.find(
    (each) =>
      each.name === name &&
      Object.entries(labels).every(([label, value]) => each.labels[label] === value),
  )?.value

async function call(path: string, token?: string, method = 'POST'): Promise<number> {
  const response = await fetch(`${gatehouse.config.proxy.url}${path}`, {
    method,
    headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
    ...(method === 'POST' && { body: '{}' }),
  })
  await response.arrayBuffer()
  return response.status
}

test('a proxy counts calls by route and outcome, refusals by their reason and limit, and known tokens', async () => {
  const token = await gatehouse.issueToken({}, { limits: { rpm: 2 } })
  expect(await call('/ocr/infer', token)).toBe(200)
  expect(await call('/ocr/infer', token)).toBe(200)
  expect(await call('/ocr/infer', token)).toBe(429)
  expect(await call('/ocr/infer')).toBe(401)
  await waitUntil('all are counted', async () => {
    const samples = await proxyMetrics()
    const route = '/ocr/infer'
    const outcome = (outcome: string) =>
      valueOf(samples, 'gatehouse_proxy_requests_total', { route, outcome })
    expect([outcome('allowed'), outcome('rate_limited')]).toEqual([2, 1])
    expect(outcome('authentication_required')).toBe(1)
    return true
  })
  const samples = await proxyMetrics()
  expect(valueOf(samples, 'gatehouse_proxy_refused_total', { reason: 'client_rpm' })).toBe(1)
  const level = { level: 'client', limit: 'rpm' }
  expect(valueOf(samples, 'gatehouse_limits_refused_total', level)).toBe(1)
  expect(valueOf(samples, 'gatehouse_limits_degraded')).toBe(0)
  expect(valueOf(samples, 'gatehouse_token_cache_lookups_total', { result: 'miss' })).toBe(1)
  expect(valueOf(samples, 'gatehouse_token_cache_lookups_total', { result: 'hit' })).toBe(2)
  expect(valueOf(samples, 'gatehouse_token_cache_entries')).toBe(1)
  expect(valueOf(samples, 'gatehouse_proxy_request_seconds_count')).toBeGreaterThanOrEqual(4)
  expect(valueOf(samples, 'gatehouse_proxy_slots')).toBe(64)
})

test('an issuer counts requests by endpoint and outcome, and shows its keys, its store and argon2', async () => {
  const { config } = gatehouse
  await gatehouse.issueToken()
  const client = await gatehouse.createClient()
  const refused = await gatehouse.requestToken({ ...client, clientSecret: 'wrong' })
  expect(refused.status).toBe(401)
  await refused.arrayBuffer()
  expect((await fetch(`${config.issuer.url}/jwks`)).status).toBe(200)
  await waitUntil('all are counted', async () => {
    const samples = await issuerMetrics()
    const count = (route: string, outcome: string) =>
      valueOf(samples, 'gatehouse_issuer_requests_total', { route, outcome }) ?? 0
    return (
      count('/token', 'allowed') >= 1 &&
      count('/token', 'refused') === 1 &&
      count('/jwks', 'allowed') >= 1
    )
  })
  const samples = await issuerMetrics()
  expect(
    valueOf(samples, 'gatehouse_issuer_request_seconds_count', { route: '/token' }),
  ).toBeGreaterThanOrEqual(2)
  expect(valueOf(samples, 'gatehouse_argon2_running')).toBe(0)
  expect(valueOf(samples, 'gatehouse_argon2_waiting')).toBe(0)
  expect(valueOf(samples, 'gatehouse_store_up')).toBe(1)
  expect(valueOf(samples, 'gatehouse_key_state_seconds', { state: 'active' })).toBeLessThan(600)
  expect(valueOf(samples, 'gatehouse_key_state_seconds', { state: 'retiring' })).toBeUndefined()
  expect(valueOf(samples, 'gatehouse_key_rotation_overdue_seconds')).toBe(0)
  expect(valueOf(samples, 'gatehouse_revocation_lag_seconds')).toBeLessThan(60)
  const expiring = samples.filter(({ name }) => name === 'gatehouse_client_secrets_expiring')
  expect(expiring.map(({ labels }) => labels['within'])).toEqual(['1d', '7d', '30d'])
})

/** Every label of ours, and what it may say. */
const PATHS = /^(?:none|\/[a-z0-9_.:/{}-]+)$/
const WORDS = /^[a-z0-9_]+$/
const LABELS: Record<string, RegExp> = {
  route: PATHS,
  outcome: WORDS,
  reason: WORDS,
  grant: /^(?:[a-z_]+|urn:ietf:params:oauth:grant-type:[a-z_]+)$/,
  level: WORDS,
  limit: WORDS,
  result: WORDS,
  state: WORDS,
  within: WORDS,
  upstream: /^http:\/\/(?:127\.0\.0\.1|localhost):\d+$/,
  version: /^\d+\.\d+\.\d+/,
  le: /^(?:\+Inf|[\d.e-]+)$/,
}

test('nothing that a caller writes becomes a series, and no token or secret is in a label', async () => {
  const { config } = gatehouse
  const token = await gatehouse.issueToken()
  const client = await gatehouse.createClient()
  const visit = async (round: number) => {
    const forged = `FORGED-${round}`
    await call(`/${forged}`, token, 'GET')
    await call(`/v1/models?${forged}`, token, 'GET')
    await call('/v1/models', `${token}${forged}`, 'GET')
    await call('/v1/models', forged, 'GET')
    const method = ['PROPFIND', 'DELETE', 'PUT'][round % 3] ?? 'PUT'
    await call('/ocr/infer', token, method)
    for (const path of [`/${forged}`, `/interaction/${'x'.repeat(20)}${forged}`, '/token']) {
      await (await fetch(`${config.issuer.url}${path}`, { method })).arrayBuffer()
    }
    const parameters = { grant_type: forged, scope: forged, resource: `https://${forged}` }
    await (await gatehouse.requestToken(client, parameters)).arrayBuffer()
    await (await gatehouse.requestToken(client, { scope: forged })).arrayBuffer()
    await (await gatehouse.requestToken({ ...client, clientId: forged })).arrayBuffer()
  }
  // What Node has under way at the moment comes and goes.
  const isLasting = ({ name }: Sample) => !name.startsWith('nodejs_active_')
  const seriesOf = (samples: readonly Sample[]) =>
    samples
      .filter(isLasting)
      .map(({ name, labels }) => JSON.stringify([name, labels]))
      .toSorted()
  const allSeries = async () => seriesOf([...(await proxyMetrics()), ...(await issuerMetrics())])
  for (let round = 0; round < 3; round += 1) await visit(round)
  const settled = await allSeries()
  for (let round = 3; round < 9; round += 1) await visit(round)
  expect(await allSeries()).toEqual(settled)

  const texts = [config.proxy.opsListen, config.issuer.opsListen].map(readMetrics)
  const all = (await Promise.all(texts)).join('\n')
  for (const hidden of [
    token,
    token.split('.')[1] ?? token,
    client.clientSecret,
    client.clientId,
  ]) {
    expect(all).not.toContain(hidden)
  }
  const ours = samplesOf(all).filter(({ name }) => name.startsWith('gatehouse_'))
  const strange = ours.flatMap(({ name, labels }) =>
    Object.entries(labels)
      .filter(([label, value]) => !(LABELS[label]?.test(value) ?? false))
      .map((pair) => [name, ...pair]),
  )
  expect(strange).toEqual([])
})
