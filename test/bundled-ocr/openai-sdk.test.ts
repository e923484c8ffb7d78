import { readFileSync } from 'node:fs'
import OpenAI from 'openai'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startBundledOcr, type BundledOcr } from '../../src/bundled-ocr/server.ts'
import { systemClock } from '../../src/kernel/clock.ts'
import { createLog } from '../../src/kernel/log.ts'
import { startGatehouse, type Gatehouse } from '../support/gatehouse.ts'
import { wordAccuracy } from '../support/text-accuracy.ts'

const fixture = (name: string) => readFileSync(new URL(`../fixtures/${name}`, import.meta.url))
const truth = fixture('receipt-en.txt').toString()

let engine: BundledOcr
let gatehouse: Gatehouse
let openai: OpenAI

beforeAll(async () => {
  engine = await startBundledOcr({
    listen: { host: '127.0.0.1', port: 0 },
    log: createLog('silent'),
    clock: systemClock,
  })
  gatehouse = await startGatehouse(`http://127.0.0.1:${engine.address.port}`)
  openai = new OpenAI({
    baseURL: `${gatehouse.config.proxy.url}/v1`,
    apiKey: await gatehouse.issueToken(),
    maxRetries: 0,
  })
  await engine.ready
})
afterAll(async () => {
  await gatehouse.close()
  await engine.close(1)
})

const request = {
  model: 'tencent/HunyuanOCR',
  messages: [
    {
      role: 'user' as const,
      content: [
        {
          type: 'image_url' as const,
          image_url: {
            url: `data:image/jpeg;base64,${fixture('receipt-en.jpg').toString('base64')}`,
          },
        },
        { type: 'text' as const, text: 'Extract the text in the image.' },
      ],
    },
  ],
}

test('an unmodified openai SDK lists the model and reads an image through the proxy', async () => {
  const models = await openai.models.list()
  expect(models.data).toMatchObject([
    { id: 'tencent/HunyuanOCR', owned_by: 'gatehouse-bundled-ocr' },
  ])
  const completion = await openai.chat.completions.create(request)
  expect(wordAccuracy(truth, completion.choices[0]?.message.content ?? '')).toBeGreaterThanOrEqual(
    0.95,
  )
  expect(completion.usage?.completion_tokens).toBeGreaterThan(100)
})

test('it reads the image as a stream, with usage', async () => {
  const stream = await openai.chat.completions.create({
    ...request,
    stream: true,
    stream_options: { include_usage: true },
  })
  let text = ''
  let tokens = 0
  for await (const chunk of stream) {
    text += chunk.choices[0]?.delta.content ?? ''
    tokens += chunk.usage?.completion_tokens ?? 0
  }
  expect(wordAccuracy(truth, text)).toBeGreaterThanOrEqual(0.95)
  expect(tokens).toBeGreaterThan(100)
})

test('it shows the message of a refusal', async () => {
  const stranger = new OpenAI({
    baseURL: `${gatehouse.config.proxy.url}/v1`,
    apiKey: 'sk-none',
    maxRetries: 0,
  })
  const refusal: unknown = await stranger.models.list().catch((error: unknown) => error)
  expect(refusal).toBeInstanceOf(OpenAI.AuthenticationError)
  expect(refusal).toMatchObject({
    status: 401,
    code: 'invalid_token',
    message: '401 The access token is malformed.',
  })
})
