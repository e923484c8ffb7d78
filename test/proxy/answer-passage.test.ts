import { once } from 'node:events'
import { createServer, type ServerResponse } from 'node:http'
import { connect, type AddressInfo } from 'node:net'
import { afterEach, expect, onTestFinished, test, vi } from 'vitest'
import { AnswerPassage, type AnswerTarget } from '../../src/proxy/answer-passage.ts'
import { Ending } from '../../src/proxy/ending.ts'

afterEach(() => void vi.useRealTimers())

/** What is answered to a client that reads nothing yet. */
async function startAnswer({ idleMs = 60_000, observer }: Partial<AnswerTarget> = {}) {
  const server = createServer()
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const { port } = server.address() as AddressInfo
  const client = connect(port, '127.0.0.1').pause()
  onTestFinished(() => {
    client.destroy()
    server.close()
  })
  client.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
  const [, res] = (await once(server, 'request')) as [unknown, ServerResponse]
  const bytes = { out: 0 }
  const passage = new AnswerPassage({
    res,
    ownHeaders: [],
    bytes,
    idleMs,
    ending: new Ending(),
    observer,
  })
  return { client, res, passage }
}

test('a client that is behind is waited for once, in however many pieces the answer comes', async () => {
  const { client, res, passage } = await startAnswer()
  const done: string[] = []
  const control = {
    pause: () => void done.push('pause'),
    resume: () => void done.push('resume'),
    abort: () => void done.push('abort'),
  }
  passage.begin(200, ['transfer-encoding', 'chunked'])
  const before = ['drain', 'close'].map((name) => res.listenerCount(name))
  const piece = Buffer.alloc(1_048_576, 'x')
  while (!done.includes('pause')) passage.pass(piece, control)
  for (let i = 0; i < 50; i += 1) passage.pass(Buffer.from('y'), control)
  expect(done).toEqual(['pause'])
  expect(['drain', 'close'].map((name) => res.listenerCount(name))).toEqual(
    before.map((count) => count + 1),
  )
  client.resume()
  await once(res, 'drain')
  expect(done).toEqual(['pause', 'resume'])
  expect(['drain', 'close'].map((name) => res.listenerCount(name))).toEqual(before)

  client.pause()
  while (done.length < 3) passage.pass(piece, control)
  expect(done).toEqual(['pause', 'resume', 'pause'])
  client.destroy()
  await once(res, 'close')
  expect(done).toEqual(['pause', 'resume', 'pause', 'resume'])
})

test('a client that is behind when the answer ends may go on at its own pace', async () => {
  const { client, res, passage } = await startAnswer({ idleMs: 1000 })
  const control = { pause: () => {}, resume: () => {}, abort: () => {} }
  passage.begin(200, ['transfer-encoding', 'chunked'])
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  const piece = Buffer.alloc(1_048_576, 'x')
  while (!res.writableNeedDrain) passage.pass(piece, control)
  expect(vi.getTimerCount()).toBe(1)
  passage.end([], { resolve: () => {}, reject: () => {} })
  vi.advanceTimersByTime(1000)
  expect(res.destroyed).toBe(false)
  let got = ''
  client.setEncoding('latin1').on('data', (text: string) => (got = text.slice(-5)))
  client.resume()
  await once(res, 'finish')
  await vi.waitUntil(() => got.endsWith('0\r\n\r\n'))
})

test('what cannot be looked into fails its own call, and no other of its cohort', async () => {
  const bug = new TypeError('not to be read')
  const looked: string[] = []
  const observers = [
    {
      onHeaders: () => {
        throw bug
      },
      onChunk: () => undefined,
    },
    { onHeaders: () => undefined, onChunk: (chunk: Buffer) => void looked.push(String(chunk)) },
  ]
  const passages = await Promise.all(observers.map((observer) => startAnswer({ observer })))
  const ends = passages.map(({ passage }) => {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    passage.begin(200, ['content-length', '2'])
    passage.pass(Buffer.from('ok'), undefined)
    passage.end([], { resolve, reject })
    return promise
  })
  await expect(ends[0]).rejects.toBe(bug)
  await ends[1]
  expect(looked).toEqual(['ok'])
})
