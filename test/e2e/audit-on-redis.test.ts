import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { adminKeyPathOf } from '../../src/cli/admin-bootstrap.ts'
import { runCommand } from '../support/command.ts'
import { settingsOnRedis, startGatehouse, type Gatehouse } from '../support/gatehouse.ts'
import { hasRedisServer } from '../support/redis-binary.ts'
import { startModelServer, type ModelServer } from '../support/model-server.ts'
import { expectLifetimes } from '../support/redis-lifetimes.ts'
import { startRedis, type RedisServers } from '../support/redis-server.ts'
import { waitUntil } from '../support/wait-until.ts'

type Found = { items: { event: string; jti?: string; writer: string }[] }

describe.skipIf(!hasRedisServer)('the audit trail on Redis', () => {
  let redis: RedisServers
  let model: ModelServer
  let gatehouse: Gatehouse
  beforeAll(async () => {
    ;[redis, model] = await Promise.all([startRedis(), startModelServer()])
    gatehouse = await startGatehouse(model.url, [...settingsOnRedis(redis.url), 'audit.sink=redis'])
  })
  afterAll(async () => {
    await gatehouse.close()
    await model.close()
    await redis.stop()
  })

  /** A command of an operator, against the running server. */
  const run = (...args: string[]) => {
    const { admin } = gatehouse.config
    const server = ['--admin-url', `http://${admin.listen}`]
    return runCommand([
      ...args,
      ...server,
      '--admin-key',
      adminKeyPathOf(gatehouse.config),
      '--json',
    ])
  }

  test('issuer and proxy write to one stream, which is searched, followed and verified', async () => {
    const token = await gatehouse.issueToken({}, { client_id: 'robot' })
    const response = await fetch(`${gatehouse.config.proxy.url}/v1/models`, {
      headers: { authorization: `Bearer ${token}` },
    })
    expect(response.status).toBe(200)
    const search = async () =>
      JSON.parse((await run('audit', 'search', '--client', 'robot')).stdout) as Found
    await waitUntil('both records', async () => (await search()).items.length === 2)
    const { items } = await search()
    expect(items.map(({ event }) => event)).toEqual(['token.issued', 'proxy.call'])
    expect(new Set(items.map(({ jti }) => jti)).size).toBe(1)
    expect(new Set(items.map(({ writer }) => writer)).size).toBe(2)

    const tail = JSON.parse((await run('audit', 'tail', '-n', '2', '--client', 'robot')).stdout)
    expect(tail).toEqual({ items })
    const usage = JSON.parse((await run('usage', '--by', 'client')).stdout)
    expect(usage).toMatchObject({ items: [{ client_id: 'robot', requests: 1, refused: 0 }] })
    const verified = await run('audit', 'verify')
    expect(JSON.parse(verified.stdout)).toMatchObject({ problems: [] })
    expect(verified.code).toBe(0)
    await expectLifetimes(redis)
  })
})
