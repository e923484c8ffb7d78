import { PassThrough } from 'node:stream'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import {
  answerEach,
  bodyOf,
  codeOf,
  sized,
  turns,
  until,
  useExchanges,
} from '../support/exchanges.ts'

const { startServer, openPool, ask } = useExchanges()

/** From here on time goes on only when a test says so; sockets are not concerned. */
function fakeTime(): void {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] })
  onTestFinished(() => void vi.useRealTimers())
}

/** Says in its answers on which connection they come. */
const startCounting = (...fields: string[]) =>
  startServer(answerEach((_, socket, index) => socket.write(sized(`${index}`, ...fields))))

describe('a connection', () => {
  test('is used again', async () => {
    const { port, sockets } = await startCounting()
    const pool = openPool(port)
    for (let i = 0; i < 5; i += 1) {
      const told = ask(pool)
      await told.over
      expect([told.status, bodyOf(told), told.takenCount]).toEqual([200, '0', 1])
    }
    expect(sockets).toHaveLength(1)
  })

  test('is not shared by requests at the same time', async () => {
    const { port, sockets } = await startCounting()
    const pool = openPool(port)
    const all = Array.from({ length: 5 }, () => ask(pool))
    await Promise.all(all.map(({ over }) => over))
    expect(all.map(bodyOf).toSorted()).toEqual(['0', '1', '2', '3', '4'])
    expect(sockets).toHaveLength(5)
  })

  test('that was used last is used first', async () => {
    const { port, sockets } = await startServer(
      answerEach((request, socket, index) => {
        if (!request.includes('/held')) socket.write(sized(`${index}`))
      }),
    )
    const pool = openPool(port)
    const held = [ask(pool, { target: '/held' }), ask(pool, { target: '/held' })]
    await until(() => sockets.every(({ bytesRead }) => bytesRead > 0) && sockets.length === 2)
    for (const index of [1, 0]) {
      sockets[index]?.write(sized(`${index}`))
      await until(() => held.some((told) => told.endCount === 1 && bodyOf(told) === `${index}`))
    }
    for (let i = 0; i < 3; i += 1) {
      const told = ask(pool)
      await told.over
      expect(bodyOf(told)).toBe('0')
    }
    expect(sockets).toHaveLength(2)
  })

  test.each([
    ['Connection: close', sized('a', 'Connection: close')],
    ['a list with close', sized('a', 'Connection: keep-alive, Close')],
    ['HTTP/1.0', 'HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\na'],
    ['Keep-Alive: timeout=1', sized('a', 'Keep-Alive: timeout=1')],
    ['Keep-Alive: timeout=0', sized('a', 'Keep-Alive: timeout=0')],
    ['bytes behind it', `${sized('a')}x`],
    ['another answer behind it', sized('a') + sized('b')],
  ])('is closed by us after an answer with %s', async (_, answer) => {
    // At once, that is.
    fakeTime()
    const { port, sockets } = await startServer(
      answerEach((_request, socket) => socket.write(answer, 'latin1')),
    )
    const pool = openPool(port)
    for (const count of [1, 2]) {
      const told = ask(pool)
      await told.over
      expect([bodyOf(told), told.error]).toEqual(['a', undefined])
      await until(() => sockets.at(-1)?.readableEnded === true || sockets.at(-1)?.closed === true)
      expect(sockets).toHaveLength(count)
    }
  })

  test('is closed by us when bytes come that nobody asked for', async () => {
    const { port, sockets } = await startCounting()
    const pool = openPool(port)
    await ask(pool).over
    sockets[0]?.write(sized('smuggled'))
    await until(() => sockets[0]?.closed === true)
    const next = ask(pool)
    await next.over
    expect(bodyOf(next)).toBe('1')
  })

  test('is closed after an answer that came before the body was sent, and the rest of that is not', async () => {
    const { port, sockets } = await startServer(
      answerEach((request, socket, index) => {
        if (request.includes('HTTP/1.1')) socket.write(sized(`${index}`))
      }),
    )
    const pool = openPool(port)
    const body = new PassThrough()
    body.write('some')
    const told = ask(pool, { method: 'POST', body })
    await told.over
    expect(bodyOf(told)).toBe('0')
    await until(() => sockets[0]?.closed === true)
    expect(body.destroyed).toBe(true)
    const next = ask(pool)
    await next.over
    expect(bodyOf(next)).toBe('1')
  })

  test('is closed after an answer while a body in one piece is not all sent', async () => {
    const { port, sockets } = await startServer((socket, index) => {
      socket.once('data', () => {
        if (index === 0) socket.pause()
        socket.write(sized(`${index}`))
      })
    })
    const pool = openPool(port)
    const told = ask(pool, { method: 'POST', body: Buffer.alloc(33_554_432) })
    await told.over
    const next = ask(pool)
    await next.over
    expect([told, next].map(bodyOf)).toEqual(['0', '1'])
    expect(sockets).toHaveLength(2)
  })

  test('that the server closes while idle is not used again', async () => {
    const { port, sockets } = await startCounting()
    const pool = openPool(port)
    await ask(pool).over
    sockets[0]?.end()
    await until(() => sockets[0]?.closed === true)
    const next = ask(pool)
    await next.over
    expect(bodyOf(next)).toBe('1')
  })

  test.each([
    ['onHead', sized('abc')],
    ['onChunk', sized('abc')],
    ['onChunk', sized('abc').slice(0, -1)],
    ['onEnd', sized('abc')],
  ] as const)('that is closed in %s is not used again', async (reaction, answer) => {
    let count = 0
    const { port, sockets } = await startServer(
      answerEach((_, socket) => socket.write((count += 1) === 1 ? answer : sized('new'))),
    )
    const pool = openPool(port)
    const reason = new Error('no longer wanted')
    const told = ask(
      pool,
      {},
      {
        [reaction]({ control }: typeof told) {
          if (reaction === 'onEnd') pool.close()
          else control.abort(reason)
        },
      },
    )
    await told.over
    expect(told.error).toBe(reaction === 'onEnd' ? undefined : reason)
    await until(() => sockets[0]?.closed === true)
    const next = ask(pool)
    await next.over
    expect([bodyOf(next), next.error, sockets.length]).toEqual(['new', undefined, 2])
  })
})

describe('an idle connection', () => {
  test.each([
    ['4 s', 4000, []],
    ['4 s when the server says nothing of use', 4000, ['Keep-Alive: max=5']],
    ['a second less than the server says', 1000, ['Keep-Alive: timeout=2, max=5']],
    ['a minute, when the server says that it waits longer', 60_000, ['Keep-Alive: timeout=75']],
  ])('is closed after %s', async (_, ms, fields) => {
    fakeTime()
    const { port, sockets } = await startCounting(...fields)
    const pool = openPool(port)
    await ask(pool).over
    await turns(3)
    vi.advanceTimersByTime(ms - 1)
    const again = ask(pool)
    await again.over
    await turns(3)
    expect([bodyOf(again), sockets.length]).toEqual(['0', 1])
    // From the last use on.
    vi.advanceTimersByTime(ms - 1)
    await turns(20)
    expect(sockets[0]?.closed).toBe(false)
    vi.advanceTimersByTime(1)
    await until(() => sockets[0]?.closed === true)
    const next = ask(pool)
    await next.over
    expect(bodyOf(next)).toBe('1')
  })

  test('leaves no timer when it is closed', async () => {
    fakeTime()
    const { port } = await startCounting()
    const pool = openPool(port)
    const all = [ask(pool), ask(pool)]
    await Promise.all(all.map(({ over }) => over))
    await turns(3)
    expect(vi.getTimerCount()).toBe(2)
    pool.close()
    expect(vi.getTimerCount()).toBe(0)
  })
})

test('a pool that is closed ends what goes on there', async () => {
  const { port, sockets } = await startServer(() => undefined)
  const pool = openPool(port)
  const [first, second] = [ask(pool), ask(pool)]
  await until(() => first.takenCount === 1 && second.takenCount === 1 && sockets.length === 2)
  const last = ask(pool)
  pool.close()
  await Promise.all([first, second, last].map(({ over }) => over))
  expect([first, second, last].map(codeOf)).toEqual(Array(3).fill('UPSTREAM_CLOSED'))
  expect(last.takenCount).toBe(0)
})
