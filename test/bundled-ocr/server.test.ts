import { readFileSync } from 'node:fs'
import { request } from 'node:http'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startBundledOcr, type BundledOcr } from '../../src/bundled-ocr/server.ts'
import { systemClock } from '../../src/kernel/clock.ts'
import { createLog } from '../../src/kernel/log.ts'
import { characterAccuracy, wordAccuracy } from '../support/text-accuracy.ts'

const fixture = (name: string) => readFileSync(new URL(`../fixtures/${name}`, import.meta.url))
const receipt = fixture('receipt-en.jpg')
const receiptText = fixture('receipt-en.txt').toString()
const invoice = fixture('invoice-zh.jpg')
const invoiceText = fixture('invoice-zh.txt').toString()
/** A white pixel: the smallest image that there is nothing to read in. */
const PIXEL =
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+A8AAQUBAScY42YAAAAASUVORK5CYII='

let service: BundledOcr
let url: string
const logged: string[] = []

beforeAll(async () => {
  service = await startBundledOcr({
    listen: { host: '127.0.0.1', port: 0 },
    log: createLog('info', { write: (line) => void logged.push(line()) }),
    clock: systemClock,
  })
  url = `http://127.0.0.1:${service.address.port}`
})
afterAll(() => service.close(1))

const dataUrl = (image: Buffer) => `data:image/jpeg;base64,${image.toString('base64')}`
const chat = (imageUrl: string, over: object = {}, prompt = 'Extract the text in the image.') =>
  fetch(`${url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      model: 'tencent/HunyuanOCR',
      messages: [
        { role: 'system', content: '' },
        {
          role: 'user',
          content: [
            { type: 'image_url', image_url: { url: imageUrl } },
            { type: 'text', text: prompt },
          ],
        },
      ],
      ...over,
    }),
  })
const infer = (body: object) =>
  fetch(`${url}/ocr/infer`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  })
type Completion = {
  choices: { message: { content: string }; finish_reason: string }[]
  usage: { prompt_tokens: number; completion_tokens: number; total_tokens: number }
}

async function expectProblem(response: Response, status: number, code: string): Promise<void> {
  expect([
    response.status,
    ((await response.json()) as { error: { code: string } }).error.code,
  ]).toEqual([status, code])
}

test('/health says loading, then ok, and that this is not the model', async () => {
  const health = async () => {
    const response = await fetch(`${url}/health`)
    return [response.status, await response.json()]
  }
  const who = { engine: 'gatehouse-bundled-ocr', stands_in_for: 'tencent/HunyuanOCR' }
  expect(await health()).toEqual([503, { status: 'loading', ...who }])
  await service.ready
  expect(await health()).toEqual([200, { status: 'ok', ...who }])
  expect(await (await fetch(`${url}/v1/models`)).json()).toMatchObject({
    data: [{ id: 'tencent/HunyuanOCR', owned_by: 'gatehouse-bundled-ocr' }],
  })
})

describe('the receipt', () => {
  test('is read with at least 95 % of its words right, and counted', async () => {
    const response = await chat(dataUrl(receipt))
    const { choices, usage } = (await response.json()) as Completion
    expect(choices[0]?.finish_reason).toBe('stop')
    expect(wordAccuracy(receiptText, choices[0]?.message.content ?? '')).toBeGreaterThanOrEqual(
      0.95,
    )
    expect(usage.prompt_tokens).toBeGreaterThan(1000)
    expect(usage.completion_tokens).toBeGreaterThan(100)
    expect(usage.total_tokens).toBe(usage.prompt_tokens + usage.completion_tokens)
  })

  test('comes as a stream of lines, with the usage when it is asked for', async () => {
    const response = await chat(dataUrl(receipt), {
      stream: true,
      stream_options: { include_usage: true },
    })
    expect(response.headers.get('content-type')).toBe('text/event-stream')
    const events = (await response.text()).trim().split('\n\n')
    expect(events.at(-1)).toBe('data: [DONE]')
    const chunks = events.slice(0, -1).map(
      (event) =>
        JSON.parse(event.slice('data: '.length)) as {
          choices: { delta: { role?: string; content?: string }; finish_reason: string | null }[]
          usage?: object
        },
    )
    expect(chunks[0]?.choices[0]?.delta.role).toBe('assistant')
    expect(chunks.length).toBeGreaterThan(20)
    expect(chunks.at(-2)?.choices[0]?.finish_reason).toBe('stop')
    expect(chunks.at(-1)).toMatchObject({
      choices: [],
      usage: { total_tokens: expect.any(Number) },
    })
    const text = chunks.map(({ choices }) => choices[0]?.delta.content ?? '').join('')
    expect(wordAccuracy(receiptText, text)).toBeGreaterThanOrEqual(0.95)
  })

  test('is read by the plain route, from a form', async () => {
    const form = new FormData()
    form.set('image', new Blob([new Uint8Array(receipt)]), 'receipt.jpg')
    const response = await fetch(`${url}/ocr/infer`, { method: 'POST', body: form })
    const answer = (await response.json()) as {
      text: string
      engine: string
      lines: { box: number[] }[]
    }
    expect(answer.engine).toBe('gatehouse-bundled-ocr')
    expect(wordAccuracy(receiptText, answer.text)).toBeGreaterThanOrEqual(0.95)
    expect(answer.lines[0]?.box).toHaveLength(4)
  })
})

test('the Chinese invoice is read with at least 90 % of its characters right, from base64, without stray spaces', async () => {
  const response = await infer({ image: invoice.toString('base64') })
  const { text } = (await response.json()) as { text: string }
  expect(characterAccuracy(invoiceText, text)).toBeGreaterThanOrEqual(0.9)
  expect(text).toContain('文具有限公司')
})

test("HunyuanOCR's spotting prompt gets coordinates from 0 to 1000", async () => {
  const response = await chat(dataUrl(receipt), {}, '检测并识别图片中的文字,将文本坐标格式化输出。')
  const { choices } = (await response.json()) as Completion
  const lines = choices[0]?.message.content.split('\n') ?? []
  expect(lines.length).toBeGreaterThan(20)
  for (const line of lines) {
    const numbers = /^.+\((\d+),(\d+)\),\((\d+),(\d+)\)$/.exec(line)?.slice(1).map(Number) ?? []
    expect(numbers).toHaveLength(4)
    expect(Math.max(...numbers)).toBeLessThanOrEqual(1000)
  }
})

describe('bad input gets a clear answer', () => {
  const header = (width: number, height: number) => {
    const png = Buffer.from(PIXEL, 'base64')
    png.writeUInt32BE(width, 16)
    png.writeUInt32BE(height, 20)
    return png.toString('base64')
  }
  test.each([
    ['text', Buffer.from('this is not an image').toString('base64')],
    ['nothing but a JPEG header', 'ffd8ffe000104a4649460001'],
    ['an image of 60,000 by 60,000 pixels', header(60_000, 60_000)],
    ['an image without a size', header(0, 0)],
    ['a truncated image', receipt.subarray(0, 300).toString('base64')],
    [
      'an image whose pixels are missing',
      Buffer.from(PIXEL, 'base64').subarray(0, 40).toString('base64'),
    ],
  ])('%s is unreadable', async (_what, image) => {
    await expectProblem(await infer({ image }), 400, 'unreadable_image')
  })

  test('an empty image has no text, and is no error', async () => {
    const response = await infer({ image: PIXEL })
    expect([200, 400]).toContain(response.status)
  })

  test('an address is not fetched', async () => {
    const response = await chat('http://127.0.0.1:1/secret.png')
    await expectProblem(response, 400, 'malformed_request')
  })

  test('another model, no image, no JSON, another type', async () => {
    await expectProblem(await chat(dataUrl(receipt), { model: 'gpt' }), 404, 'model_not_found')
    await expectProblem(
      await chat('x', { messages: [{ role: 'user', content: 'hi' }] }),
      400,
      'malformed_request',
    )
    await expectProblem(await chat('x', { messages: [] }), 400, 'malformed_request')
    const notJson = await fetch(`${url}/v1/chat/completions`, { method: 'POST', body: '{"model":' })
    await expectProblem(notJson, 400, 'malformed_request')
    const otherType = await fetch(`${url}/ocr/infer`, { method: 'POST', body: 'x' })
    await expectProblem(otherType, 415, 'unsupported_media_type')
    const badForm = await fetch(`${url}/ocr/infer`, {
      method: 'POST',
      headers: { 'content-type': 'multipart/form-data; boundary=x' },
      body: 'nonsense',
    })
    await expectProblem(badForm, 400, 'malformed_request')
    await expectProblem(await fetch(`${url}/metrics`), 404, 'not_found')
  })

  test('a body of 100 MB is 413', async () => {
    const response = await fetch(`${url}/ocr/infer`, {
      method: 'POST',
      body: Buffer.alloc(100_000_000),
    })
    await expectProblem(response, 413, 'content_too_large')
  })

  test('a client that leaves while it waits leaves the queue', async () => {
    const body = JSON.stringify({ image: receipt.toString('base64') })
    const leaving = Array.from({ length: 5 }, () => {
      const req = request(`${url}/ocr/infer`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
      })
      req.on('error', () => undefined).end(body)
      return req
    })
    await expect.poll(async () => (await fetch(`${url}/health`)).status).toBe(200)
    for (const req of leaving) req.destroy()
    const startedAt = performance.now()
    expect((await infer({ image: PIXEL })).status).toBeLessThan(500)
    expect(performance.now() - startedAt).toBeLessThan(60_000)
  })

  test('and after all of that a good image is read', async () => {
    const { text } = (await (await infer({ image: receipt.toString('base64') })).json()) as {
      text: string
    }
    expect(wordAccuracy(receiptText, text)).toBeGreaterThanOrEqual(0.95)
  })

  test('no text and no image is in the log, and each call is there', () => {
    const all = logged.join('')
    expect(all).not.toMatch(/Harbour|发票|base64/)
    expect(all).toContain('"route":"/ocr/infer"')
  })
})
