import { Provider } from 'oidc-provider'
import { once } from 'node:events'
import { request } from 'node:http'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startGatehouse, type Gatehouse } from '../support/gatehouse.ts'
import { waitUntil } from '../support/wait-until.ts'

let gatehouse: Gatehouse
beforeAll(async () => {
  gatehouse = await startGatehouse('http://127.0.0.1:9')
})
afterAll(() => gatehouse.close())

test('a refresh that is read after its client has left, and was served elsewhere, ends no grant', async () => {
  const client = await gatehouse.createClient({ client_credentials_refresh: true })
  const next = async (parameters?: Record<string, string>) => {
    const response = await gatehouse.requestToken(client, parameters)
    return ((await response.json()) as { refresh_token?: string }).refresh_token ?? ''
  }
  const refresh = (token: string) => ({ grant_type: 'refresh_token', refresh_token: token })
  const first = await next()
  const third = await next(refresh(await next(refresh(first))))

  const { get } = gatehouse.store
  const late = request(`${gatehouse.config.issuer.url}/token`, {
    method: 'POST',
    auth: `${client.clientId}:${client.clientSecret}`,
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
  }).on('error', () => undefined)
  gatehouse.store.get = async (collection, id) => {
    if (collection.name === 'oidc/RefreshToken') {
      gatehouse.store.get = get
      const closed = once(Provider.ctx?.req.socket ?? late, 'close')
      late.destroy()
      await closed
    }
    return get(collection, id)
  }
  const before = gatehouse.logged.length
  late.end(new URLSearchParams(refresh(first)).toString())
  await waitUntil('the late request to be over', async () =>
    gatehouse.logged.slice(before).some(({ event }) => event === 'token.refused'),
  )

  expect(await next(refresh(third))).not.toBe('')
})
