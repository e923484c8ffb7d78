import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startGatehouse, type Gatehouse } from '../support/gatehouse.ts'
import { startModelServer, type ModelServer } from '../support/model-server.ts'

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

describe('a third-party client', () => {
  test('gets a token and reaches the model server, which learns who calls and never sees the token', async () => {
    const client = await gatehouse.createClient({ tenant_id: 'acme', limits: { rpm: 60 } })
    const response = await gatehouse.requestToken(client)
    const granted = (await response.json()) as Record<string, unknown>
    expect(granted).toMatchObject({
      token_type: 'Bearer',
      expires_in: 900,
      scope: 'ocr_api_access',
    })
    expect(response.headers.get('cache-control')).toBe('no-store')

    const answer = await fetch(`${gatehouse.config.proxy.url}/v1/chat/completions`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${String(granted['access_token'])}`,
        'x-request-id': 'my-request-1',
      },
      body: '{"hello":"world"}',
    })
    expect(answer.status).toBe(200)
    expect(await answer.json()).toEqual({ ok: true })
    expect(answer.headers.get('x-request-id')).toBe('my-request-1')

    const seen = model.received.at(-1)
    expect(seen?.body.toString()).toBe('{"hello":"world"}')
    expect(seen?.headers).toMatchObject({
      'x-request-id': 'my-request-1',
      'x-gatehouse-client': client.clientId,
      'x-gatehouse-subject': client.clientId,
      'x-gatehouse-tenant': 'acme',
      'x-gatehouse-scope': 'ocr_api_access',
    })
    expect(seen?.headers['authorization']).toBeUndefined()
    expect(seen?.headers['traceparent']).toMatch(/^00-[0-9a-f]{32}-[0-9a-f]{16}-00$/)
    const calls = gatehouse.logged.filter((line) => line['request_id'] === 'my-request-1')
    expect(calls).toMatchObject([
      { event: 'proxy.call', decision: 'allow', client_id: client.clientId, status: 200 },
    ])
  })
})
