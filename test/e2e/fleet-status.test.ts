import { afterEach, describe, expect, test } from 'vitest'
import { z } from 'zod'
import { listInstances, saveInstance, type KnownInstance } from '../../src/store/instances.ts'
import { startApart, type Apart } from '../support/apart.ts'
import { startGatehouse } from '../support/gatehouse.ts'
import { startLoneProxy } from '../support/lone-proxy.ts'
import { waitUntil } from '../support/wait-until.ts'

let apart: Apart | undefined
afterEach(async () => {
  await apart?.close()
  apart = undefined
})

const readyzSchema = z.object({
  status: z.enum(['ok', 'unavailable']),
  checks: z.record(z.string(), z.object({ status: z.string(), detail: z.string().optional() })),
})
async function readiness(opsListen: string) {
  const response = await fetch(`http://${opsListen}/readyz`)
  return { code: response.status, ...readyzSchema.parse(await response.json()) }
}

describe('an instance tells the operators how it is', () => {
  test('without Redis through the issuer, until it is gone', async () => {
    const here = await startApart()
    apart = here
    const { store } = here.issuer()
    await here.startProxy()
    let known: KnownInstance[] = []
    const find = (role: string) => known.find((each) => each.role === role)
    await waitUntil('a report of both, and a proxy that is well', async () => {
      known = await listInstances(store)
      return find('issuer') !== undefined && find('proxy')?.checks.every(isOk) === true
    })
    expect(known).toHaveLength(2)
    const { proxy, issuer } = here.config
    expect(find('issuer')).toMatchObject({ client_id: null, upstreams: [] })
    expect(find('issuer')?.instance_id).toMatch(new RegExp(`-${new URL(issuer.url).port}$`))
    expect(find('proxy')).toMatchObject({
      client_id: 'proxy-1',
      version: expect.stringMatching(/^\d+\./),
      upstreams: [{ url: here.model.url, usable: true }],
    })
    expect(find('proxy')?.instance_id).toMatch(new RegExp(`-${new URL(proxy.url).port}$`))
    await here.stopProxy()
    here.time.now += 36_000
    expect((await listInstances(store)).filter(({ role }) => role === 'proxy')).toEqual([])
  })

  test('in one process both are there, and what a newer one says besides is left out', async () => {
    const gatehouse = await startGatehouse('http://127.0.0.1:1')
    try {
      const { store } = gatehouse
      await waitUntil('both', async () => (await listInstances(store)).length === 2)
      const [first] = await listInstances(store)
      const newer = { ...first, instance_id: 'newer-1', mood: 'good', checks: [], upstreams: [] }
      await saveInstance(store, newer as KnownInstance, { clientId: null, clock: Date.now })
      const found = await listInstances(store)
      expect(found.find((each) => each.instance_id === 'newer-1')).not.toHaveProperty('mood')
    } finally {
      await gatehouse.close()
    }
  })

  test('which needs a token with the scope of the feed, and only of the reporter itself', async () => {
    apart = await startApart()
    const { url } = apart.config.issuer
    const good = {
      instance_id: 'a-1',
      role: 'proxy',
      version: '1',
      started_at: 1,
      checks: [],
      upstreams: [],
    }
    const post = async (report: object, token?: string) =>
      (
        await fetch(`${url}/revocations/instances`, {
          method: 'POST',
          body: JSON.stringify(report),
          headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
        })
      ).status
    expect(await post(good)).toBe(401)
    const token = await apart.feedToken()
    expect(await post(good, token)).toBe(204)
    for (const bad of [
      { instance_id: '../x' },
      { role: 'admin' },
      { role: 'issuer' },
      { checks: undefined },
    ]) {
      expect(await post({ ...good, ...bad }, token)).toBe(400)
    }
    const found = (await listInstances(apart.issuer().store)).filter(
      (each) => each.role === 'proxy',
    )
    expect(found).toMatchObject([{ instance_id: 'a-1', client_id: 'proxy-1' }])
  })
})

const isOk = ({ status }: { status: string }): boolean => status === 'ok'

describe('/readyz of a proxy', () => {
  test('says why there are no keys, while /livez goes on', async () => {
    const proxy = await startLoneProxy()
    try {
      const { opsListen } = proxy.config.proxy
      await waitUntil('keys', async () => (await readiness(opsListen)).code === 200)
      proxy.issuer.answerJwks((res) => res.writeHead(500).end())
      proxy.time.now += 90_000_000
      await proxy.call(`Bearer ${await proxy.issuer.sign()}`)
      const { code, status, checks } = await readiness(opsListen)
      expect([code, status]).toEqual([503, 'unavailable'])
      expect(checks['keys']).toEqual({
        status: 'unavailable',
        detail: expect.stringMatching(
          /^keys of 900\d\d s ago: the issuer cannot be asked for them$/,
        ),
      })
      expect((await fetch(`http://${opsListen}/livez`)).status).toBe(200)
    } finally {
      await proxy.close()
    }
  })

  test('is not ready from the moment when it drains, and answers until the last call is over', async () => {
    const proxy = await startLoneProxy()
    const { opsListen } = proxy.config.proxy
    await waitUntil('keys', async () => (await readiness(opsListen)).code === 200)
    const asked = Promise.withResolvers<() => void>()
    proxy.model.answer((_req, res) => asked.resolve(() => res.end('{}')))
    const call = proxy.call(`Bearer ${await proxy.issuer.sign()}`)
    const answer = await asked.promise
    const closed = proxy.close(20)
    const { code, checks } = await readiness(opsListen)
    expect([code, checks['serving']]).toEqual([
      503,
      { status: 'unavailable', detail: 'it is draining' },
    ])
    expect((await fetch(`http://${opsListen}/livez`)).status).toBe(200)
    answer()
    expect((await call).status).toBe(200)
    await closed
    await expect(readiness(opsListen)).rejects.toThrow()
  })
})
