import { readFileSync } from 'node:fs'
import { afterAll, describe, expect, test } from 'vitest'
import { findEnginePackages } from '../../src/bundled-ocr/engine-packages.ts'
import { startEngine } from '../../src/bundled-ocr/engine.ts'
import { parsePageImage } from '../../src/bundled-ocr/page-image.ts'
import { createLog } from '../../src/kernel/log.ts'

const receipt = parsePageImage(readFileSync(new URL('../fixtures/receipt-en.jpg', import.meta.url)))
const log = createLog('silent')
const never = new AbortController().signal

describe('an engine', () => {
  const engine = startEngine({ languages: findEnginePackages(), log })
  afterAll(() => engine.close())

  test('drops a page in the middle when its client leaves, and reads the next one', async () => {
    const leaving = new AbortController()
    const left = engine.read(receipt, {
      signal: leaving.signal,
      onProgress: () => leaving.abort(),
    })
    const next = engine.read(receipt, { signal: never })
    await expect(left).rejects.toMatchObject({ name: 'AbortError' })
    expect((await next)[0]?.text).toBe('Lantern Quay Grocers')
    expect(engine.state()).toBe('ok')
  })

  test('tells how far it is with a page, never going back', async () => {
    const fractions: number[] = []
    await engine.read(receipt, { signal: never, onProgress: (f) => fractions.push(f) })
    expect(fractions.length).toBeGreaterThan(3)
    expect(fractions).toEqual(fractions.toSorted((a, b) => a - b))
  })
})

test('a page that takes too long is refused with what to do', async () => {
  const engine = startEngine({ languages: findEnginePackages(), log, pageTimeoutMs: 1 })
  await expect(engine.read(receipt, { signal: never })).rejects.toMatchObject({
    code: 'unreadable_image',
    message: expect.stringContaining('takes too long'),
  })
  await engine.close()
})

test('an engine that cannot be loaded says so to each page, and fails', async () => {
  const languages = [{ code: 'eng', file: '/nonexistent/eng.traineddata.gz' }]
  const engine = startEngine({ languages, log })
  await expect(engine.loaded).rejects.toThrow('OCR thread failed')
  expect(engine.state()).toBe('failed')
  await expect(engine.read(receipt, { signal: never })).rejects.toMatchObject({
    code: 'temporarily_unavailable',
  })
  await engine.close()
})
