import { describe, expect, test } from 'vitest'
import { createRedisLink } from '../../src/store/redis-link.ts'
import { parseRedisUrl } from '../../src/store/redis-url.ts'
import { startFakeSentinel } from '../support/fake-sentinel.ts'
import { hasRedisServer } from '../support/redis-binary.ts'
import { startRedis } from '../support/redis-server.ts'
import { waitUntil } from '../support/wait-until.ts'

describe.skipIf(!hasRedisServer)('a connection to Redis that follows Sentinel', () => {
  test('is there again when the news of a new master comes while it asks who is master', async () => {
    await using open = new AsyncDisposableStack()
    const redis = await startRedis()
    open.defer(redis.stop)
    const [node] = redis.nodes
    const sentinel = await startFakeSentinel(node?.port ?? 0)
    open.defer(sentinel.stop)
    const link = createRedisLink({ target: parseRedisUrl(sentinel.url), deadlineMs: 2000 })
    open.defer(link.close)
    expect(await link.send(['ping'])).toBe('PONG')
    await waitUntil('a subscriber', async () => sentinel.subscribers() === 1)

    const answer = sentinel.hold()
    const asked = sentinel.timesAsked()
    await node?.link.send(['client', 'kill', 'type', 'normal'])
    await waitUntil('a question', async () => sentinel.timesAsked() > asked)
    sentinel.announce()
    await waitUntil('the news to be heard', async () => sentinel.subscribers() === 0)
    answer()

    await waitUntil('a connection', async () => (await link.send(['ping'])) === 'PONG')
  })
})
