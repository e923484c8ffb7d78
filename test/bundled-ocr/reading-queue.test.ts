import { expect, test } from 'vitest'
import { createReadingQueue } from '../../src/bundled-ocr/reading-queue.ts'

const never = new AbortController().signal

test('pages are read one at a time, first come, first served, also after one that failed', async () => {
  const queue = createReadingQueue(3)
  const order: string[] = []
  const page = (name: string) => async () => {
    order.push(`${name} starts`)
    await Promise.resolve()
    order.push(`${name} ends`)
    if (name === 'b') throw new Error('broken')
    return name
  }
  const settled = await Promise.allSettled(
    ['a', 'b', 'c'].map((name) => queue.run(page(name), never)),
  )
  expect(settled.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled'])
  expect(order).toEqual(['a starts', 'a ends', 'b starts', 'b ends', 'c starts', 'c ends'])
})

test('a full queue refuses at once, and one who leaves while waiting frees the place', async () => {
  const queue = createReadingQueue(1)
  const first = Promise.withResolvers<void>()
  const running = queue.run(() => first.promise, never)
  const leaving = new AbortController()
  const waiting = queue.run(() => Promise.resolve('never read'), leaving.signal)
  await expect(queue.run(() => Promise.resolve(), never)).rejects.toMatchObject({
    code: 'temporarily_unavailable',
    headers: { 'retry-after': expect.any(String) },
  })
  leaving.abort()
  await expect(waiting).rejects.toMatchObject({ name: 'AbortError' })
  const next = queue.run(() => Promise.resolve('read'), never)
  first.resolve()
  await running
  expect(await next).toBe('read')
})
