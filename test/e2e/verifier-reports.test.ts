import { afterEach, describe, expect, test } from 'vitest'
import { listVerifiers, type KnownVerifier } from '../../src/keys/verifiers.ts'
import { startApart, type Apart } from '../support/apart.ts'
import { startGatehouse } from '../support/gatehouse.ts'
import { waitUntil } from '../support/wait-until.ts'

let apart: Apart | undefined
afterEach(async () => {
  await apart?.close()
  apart = undefined
})

const kidsAt = async (issuerUrl: string) => {
  const { keys } = (await (await fetch(`${issuerUrl}/jwks`)).json()) as { keys: { kid: string }[] }
  return keys.map(({ kid }) => kid)
}

describe('a proxy', () => {
  test('without Redis tells the issuer which keys it has and what it has heard, and is forgotten when it is gone', async () => {
    const here = await startApart()
    apart = here
    const { store } = here.issuer()
    await here.startProxy()
    let known: KnownVerifier[] = []
    await waitUntil('a report', async () => {
      known = await listVerifiers(store)
      return known[0]?.revocations_heard_at !== null && (known[0]?.kids.length ?? 0) > 0
    })
    const [verifier, ...others] = known
    expect(others).toEqual([])
    expect(verifier).toMatchObject({ client_id: 'proxy-1', revocation_id: null })
    expect(verifier?.kids).toEqual(await kidsAt(here.config.issuer.url))
    expect(verifier?.verifier_id).toMatch(new RegExp(`-${new URL(here.config.proxy.url).port}$`))

    await here.issueToken('someone')
    await here.issuer().registry.clients.disable('someone')
    await waitUntil('the position', async () => {
      const [now] = await listVerifiers(store)
      return now?.revocation_id === here.issuer().revocations.entries().at(-1)?.id
    })
    await here.stopProxy()
    here.time.now += 36_000
    expect(await listVerifiers(store)).toEqual([])
  })

  test('in the process of the issuer is known as well', async () => {
    const gatehouse = await startGatehouse('http://127.0.0.1:1')
    try {
      await waitUntil('a report', async () => {
        const [verifier] = await listVerifiers(gatehouse.store)
        return verifier?.client_id === null && verifier.kids.length > 0
      })
      expect(await listVerifiers(gatehouse.store)).toHaveLength(1)
    } finally {
      await gatehouse.close()
    }
  })
})

describe('a report', () => {
  const post = (url: string, token: string | undefined, body: string) =>
    fetch(`${url}/revocations/verifiers`, {
      method: 'POST',
      body,
      headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
    }).then(({ status }) => status)

  test('needs a token with the scope of the feed, and is refused when it is not one', async () => {
    apart = await startApart()
    const { config } = apart
    const { url } = config.issuer
    expect(await post(url, undefined, '{}')).toBe(401)
    expect(await post(url, await apart.issueToken('other'), '{}')).toBe(401)
    const token = await apart.feedToken()
    const good = {
      verifier_id: 'a-1',
      version: '1',
      kids: ['k'],
      keys_fetched_at: 1,
      revocation_id: null,
      revocations_heard_at: null,
    }
    expect(await post(url, token, JSON.stringify(good))).toBe(204)
    for (const bad of [
      '',
      'nothing',
      JSON.stringify({ ...good, verifier_id: '../x' }),
      JSON.stringify({ ...good, kids: Array.from({ length: 51 }, () => 'k') }),
      JSON.stringify({ ...good, more: true }),
    ]) {
      expect(await post(url, token, bad)).toBe(400)
    }
    expect(await post(url, token, JSON.stringify({ ...good, version: 'x'.repeat(20_000) }))).toBe(
      413,
    )
    const ids = (await listVerifiers(apart.issuer().store)).map(({ verifier_id: id }) => id)
    expect(ids).toEqual(['a-1'])
  })
})
