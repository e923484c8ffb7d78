import { readFileSync } from 'node:fs'
import { request } from 'node:http'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startBundledOcr, type BundledOcr } from '../../src/bundled-ocr/server.ts'
import { createLog } from '../../src/kernel/log.ts'
import { characterAccuracy } from '../support/text-accuracy.ts'

const fixture = (name: string) => readFileSync(new URL(`../fixtures/${name}`, import.meta.url))

let service: BundledOcr
let url: string
beforeAll(async () => {
  service = await startBundledOcr({
    listen: { host: '127.0.0.1', port: 0 },
    log: createLog('silent'),
  })
  url = `http://127.0.0.1:${service.address.port}`
  await service.ready
})
afterAll(() => service.close(1))

const chat = (body: object) =>
  fetch(`${url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'tencent/HunyuanOCR', ...body }),
  })
const page = (image: Buffer) => [
  {
    role: 'user',
    content: [
      {
        type: 'image_url',
        image_url: { url: `data:image/jpeg;base64,${image.toString('base64')}` },
      },
    ],
  },
]

test('the Chinese invoice is read with at least 95 % of its characters right by both routes', async () => {
  const truth = fixture('invoice-zh.txt').toString()
  const completion = (await (await chat({ messages: page(fixture('invoice-zh.jpg')) })).json()) as {
    choices: { message: { content: string } }[]
  }
  const content = completion.choices[0]?.message.content ?? ''
  expect(characterAccuracy(truth, content)).toBeGreaterThanOrEqual(0.95)
  expect(content).toContain('青禾小学')

  const form = new FormData()
  form.set('file', new Blob([new Uint8Array(fixture('invoice-zh.jpg'))]), 'invoice.jpg')
  const inferred = await fetch(`${url}/ocr/infer`, { method: 'POST', body: form })
  expect(((await inferred.json()) as { text: string }).text).toBe(content)
})

test('max_tokens cuts the answer, and says so', async () => {
  const response = await chat({ messages: page(fixture('receipt-en.jpg')), max_tokens: 5 })
  expect(await response.json()).toMatchObject({
    choices: [{ message: { content: 'Lantern Quay Grocers' }, finish_reason: 'length' }],
    usage: { completion_tokens: 5 },
    system_fingerprint: 'gatehouse-bundled-ocr',
  })
})

test('a cut-off image in a stream ends it with an error event', async () => {
  const cutOff = fixture('receipt-en.jpg').subarray(0, 300_000)
  const text = await (await chat({ messages: page(cutOff), stream: true })).text()
  expect(text).toContain('"code":"unreadable_image"')
  expect(text.endsWith('data: [DONE]\n\n')).toBe(true)
})

describe('the surface', () => {
  test('a known path with another method is 405 with Allow, and GET includes HEAD', async () => {
    const wrong = await fetch(`${url}/ocr/infer`)
    expect([wrong.status, wrong.headers.get('allow')]).toEqual([405, 'POST'])
    expect((await fetch(`${url}/health`, { method: 'HEAD' })).status).toBe(200)
  })

  test('/docs needs nothing from elsewhere, and /openapi.json names every path', async () => {
    const docs = await fetch(`${url}/docs`)
    expect(docs.headers.get('content-security-policy')).toContain("default-src 'none'")
    expect(await docs.text()).not.toMatch(/<script|src=|https:/)
    const { openapi, paths } = (await (await fetch(`${url}/openapi.json`)).json()) as {
      openapi: string
      paths: object
    }
    expect(openapi).toMatch(/^3\.1/)
    expect(Object.keys(paths).toSorted()).toEqual([
      '/docs',
      '/health',
      '/ocr/infer',
      '/openapi.json',
      '/v1/chat/completions',
      '/v1/models',
    ])
  })
})

describe('a body that is too large', () => {
  const tooLarge = { 'content-type': 'application/json', 'content-length': '100000000' }
  const answerTo = (headers: Record<string, string>) =>
    new Promise<{
      status: number | undefined
      sawContinue: boolean
      connection: string | undefined
    }>((resolve, reject) => {
      let sawContinue = false
      const req = request(`${url}/ocr/infer`, { method: 'POST', headers }, (res) => {
        res.resume()
        resolve({ status: res.statusCode, sawContinue, connection: res.headers.connection })
        req.destroy()
      })
      req.on('continue', () => (sawContinue = true)).on('error', reject)
      req.flushHeaders()
    })

  test('is refused by its length before a byte of it is asked for, and the connection closes', async () => {
    expect(await answerTo({ ...tooLarge, expect: '100-continue' })).toEqual({
      status: 413,
      sawContinue: false,
      connection: 'close',
    })
  })

  test('is refused in chunks as well, while the client still sends, in bounded memory', async () => {
    const before = process.memoryUsage().rss
    const chunk = new Uint8Array(1_048_576).fill(97)
    let sent = 0
    const body = new ReadableStream<Uint8Array>({
      pull(controller) {
        if (sent++ < 100) controller.enqueue(chunk)
        else controller.close()
      },
    })
    const response = await fetch(`${url}/ocr/infer`, { method: 'POST', duplex: 'half', body })
    expect(response.status).toBe(413)
    expect(process.memoryUsage().rss - before).toBeLessThan(200_000_000)
  })
})

test('a compressed body is refused with what to do', async () => {
  const response = await fetch(`${url}/ocr/infer`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'content-encoding': 'gzip' },
    body: '{}',
  })
  expect(response.status).toBe(415)
})
