import { once } from 'node:events'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { z } from 'zod'
import { adminKeyPathOf } from '../../src/cli/admin-bootstrap.ts'
import { inspectToken } from '../../src/tokens/inspect.ts'
import { runCommand } from '../support/command.ts'
import { startGatehouse, type Gatehouse } from '../support/gatehouse.ts'
import { startModelServer, type ModelServer } from '../support/model-server.ts'
import { waitUntil } from '../support/wait-until.ts'

const keySchema = z.looseObject({ kid: z.string(), state: z.string() })
const ringSchema = z.object({ items: z.array(keySchema) })

let model: ModelServer
let gatehouse: Gatehouse
beforeAll(async () => {
  model = await startModelServer()
  gatehouse = await startGatehouse(model.url, [
    'keys.jwksMaxAgeSeconds=1',
    'proxy.jwks.cooldownSeconds=1',
  ])
})
afterAll(async () => {
  await gatehouse.close()
  await model.close()
})

const command = (...args: string[]) => {
  const { config } = gatehouse
  const places = ['--admin-url', `http://${config.admin.listen}`]
  return runCommand(['keys', ...args, ...places, '--admin-key', adminKeyPathOf(config)])
}
async function ring() {
  const listed = await command('list', '--json')
  return ringSchema.parse(JSON.parse(listed.stdout)).items
}
const kidOf = async (state: string) => (await ring()).find((key) => key.state === state)?.kid ?? ''
const kidOfToken = (token: string) =>
  z.object({ kid: z.string() }).parse(inspectToken(token).header).kid

const call = (token: string) =>
  fetch(`${gatehouse.config.proxy.url}/v1/chat/completions`, {
    method: 'POST',
    body: '{}',
    headers: { authorization: `Bearer ${token}` },
  })

describe('keys rotate', () => {
  test('waits until the next key is old enough, says so, and disturbs no token', async () => {
    const before = await gatehouse.issueToken()
    const next = await kidOf('next')
    const rotated = await command('rotate', '--json')
    expect([rotated.code, rotated.stderr]).toEqual([
      0,
      expect.stringMatching(/^(waiting \d s .*\n)?$/),
    ])
    expect(ringSchema.parse(JSON.parse(rotated.stdout)).items).toMatchObject([
      { state: 'active', kid: next },
      { state: 'next' },
      { state: 'retiring', kid: kidOfToken(before) },
    ])
    const after = await gatehouse.issueToken()
    expect(kidOfToken(after)).toBe(next)
    for (const token of [before, after]) expect((await call(token)).status).toBe(200)
  })

  test('leaves it to the server with --no-wait', async () => {
    const next = await kidOf('next')
    expect((await command('rotate', '--no-wait')).code).toBe(0)
    await waitUntil('the rotation', async () => (await kidOf('active')) === next)
  })
})

describe('keys compromise', () => {
  test('voids every token of the key, ends what they have running, and signs with a new one', async () => {
    const token = await gatehouse.issueToken()
    const stolen = kidOfToken(token)
    expect((await call(token)).status).toBe(200)
    const reached = Promise.withResolvers<void>()
    model.answer(async (req, res) => {
      req.resume()
      reached.resolve()
      await once(res, 'close')
    })
    const running = call(token)
    await reached.promise

    const done = await command('compromise', stolen)
    expect([done.code, done.stderr]).toEqual([0, expect.stringMatching(/has dropped it, \d/)])
    expect((await running).status).toBe(401)
    expect((await call(token)).status).toBe(401)
    const jwks = await (await fetch(`${gatehouse.config.issuer.url}/jwks`)).text()
    expect(jwks).not.toContain(stolen)

    model.answer((_req, res) => void res.end('{}'))
    const fresh = await gatehouse.issueToken()
    expect(kidOfToken(fresh)).not.toBe(stolen)
    await waitUntil('the new key at the proxy', async () => (await call(fresh)).status === 200)
  })

  test('of a key that is not there is refused', async () => {
    for (const kid of ['no-such-key', '-7no-such-key', '--no-such-key']) {
      const { code, stderr } = await command('compromise', kid)
      expect([code, stderr]).toEqual([
        1,
        'error: There is no such key in the ring.\nhint: see: keys list\n',
      ])
    }
  })
})

test('keys reseal has nothing to do without an encryption key', async () => {
  const done = await command('reseal', '--json')
  expect([done.code, JSON.parse(done.stdout)]).toEqual([0, { resealed: false }])
})

test('keys list is a table for people, and the metrics count the same keys', async () => {
  const listed = await command('list')
  expect(listed.stdout).toMatch(/^KID +STATE +PUBLISHED +WHAT IS NEXT\n/)
  await waitUntil('the report of the proxy', async () =>
    (await command('list')).stdout.includes('1 of 1 verifiers have the next key'),
  )
  const metrics = await (await fetch(`http://${gatehouse.config.issuer.opsListen}/metrics`)).text()
  expect(metrics).toContain('gatehouse_keys{state="active"} 1')
  expect(metrics).toContain('gatehouse_keys{state="next"} 1')
  expect(metrics).toMatch(/^gatehouse_key_age_seconds \d+$/m)
})
