import { once } from 'node:events'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startGatehouse, type Gatehouse } from '../support/gatehouse.ts'
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

const call = (token: string) =>
  fetch(`${gatehouse.config.proxy.url}/v1/chat/completions`, {
    method: 'POST',
    body: '{}',
    headers: { authorization: `Bearer ${token}` },
  })

async function tokenOfNewClient() {
  const client = await gatehouse.createClient()
  const response = await gatehouse.requestToken(client)
  const { access_token: token } = (await response.json()) as { access_token: string }
  return { clientId: client.clientId, token }
}

describe('a token whose client was disabled', () => {
  test('is refused within 250 ms, although it was verified before, and says why', async () => {
    const { clientId, token } = await tokenOfNewClient()
    expect((await call(token)).status).toBe(200)
    await gatehouse.registry.clients.disable(clientId)
    await waitUntil('the refusal', async () => (await call(token)).status === 401, 250)
    const refused = await call(token)
    expect(refused.headers.get('www-authenticate')).toContain('error="invalid_token"')
    const line = gatehouse.logged.findLast((each) => each['event'] === 'proxy.call')
    expect(line).toMatchObject({ decision: 'deny', reason: 'revoked' })
  })

  test('stays refused when the client is enabled again, and others never notice', async () => {
    const [revoked, other] = [await tokenOfNewClient(), await tokenOfNewClient()]
    await gatehouse.registry.clients.disable(revoked.clientId)
    await gatehouse.registry.clients.enable(revoked.clientId)
    await waitUntil('the refusal', async () => (await call(revoked.token)).status === 401, 250)
    expect((await call(other.token)).status).toBe(200)
  })

  test('loses the call that is running: the model server is told, the caller gets 401', async () => {
    const { clientId, token } = await tokenOfNewClient()
    const reached = Promise.withResolvers<void>()
    const left = Promise.withResolvers<void>()
    model.answer(async (req, res) => {
      req.resume()
      reached.resolve()
      await once(res, 'close')
      left.resolve()
    })
    const running = call(token)
    await reached.promise
    await gatehouse.registry.clients.disable(clientId)
    expect((await running).status).toBe(401)
    await left.promise
  })
})
