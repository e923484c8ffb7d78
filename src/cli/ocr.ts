import { readFile } from 'node:fs/promises'
import { basename } from 'node:path'
import { z } from 'zod'
import { CliError } from './cli-error.ts'
import { describeRefusal, request } from './client-http.ts'
import type { Progress } from './progress.ts'

export type OcrRequest = {
  proxy: string
  accessToken: string
  model: string
  prompt: string
  /** Called with each piece of text as it is read. */
  onText: (text: string) => void
}

const usageSchema = z.object({
  prompt_tokens: z.number(),
  completion_tokens: z.number(),
  total_tokens: z.number(),
})
const errorEventSchema = z.object({ error: z.object({ message: z.string() }) })
const chunkSchema = z.object({
  choices: z.array(z.object({ delta: z.object({ content: z.string().nullish() }) })),
  usage: usageSchema.nullish(),
})

export type OcrResult = { text: string; usage: z.infer<typeof usageSchema> | undefined }

/** Has the model read an image file through the proxy; the text comes as a stream (OpenAI's chat completions). */
export async function readImage(file: string, options: OcrRequest): Promise<OcrResult> {
  const { proxy, accessToken, model, prompt, onText } = options
  const response = await request('proxy', `${proxy}/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${accessToken}`, 'content-type': 'application/json' },
    body: JSON.stringify({
      model,
      stream: true,
      stream_options: { include_usage: true },
      messages: [
        {
          role: 'user',
          content: [
            { type: 'image_url', image_url: { url: await toDataUrl(file) } },
            { type: 'text', text: prompt },
          ],
        },
      ],
    }),
  })
  if (!response.ok) throw new CliError(`${basename(file)}: ${await describeRefusal(response)}`)
  let text = ''
  let usage: OcrResult['usage']
  for await (const data of readEvents(response)) {
    const event: unknown = JSON.parse(data)
    const failure = errorEventSchema.safeParse(event).data
    if (failure !== undefined) throw new CliError(`${basename(file)}: ${failure.error.message}`)
    const chunk = chunkSchema.parse(event)
    const piece = chunk.choices[0]?.delta.content ?? ''
    text += piece
    usage = chunk.usage ?? usage
    if (piece !== '') onText(piece)
  }
  return { text, usage }
}

/** Counts the seconds while an image is read and nothing can be shown yet. */
export async function withTicking<T>(
  progress: Progress,
  what: string,
  work: () => Promise<T>,
): Promise<T> {
  const startedAt = Date.now()
  const show = () => progress.update(`${what} … ${Math.round((Date.now() - startedAt) / 1000)} s`)
  show()
  const ticking = setInterval(show, 1000)
  try {
    return await work()
  } finally {
    clearInterval(ticking)
    progress.done()
  }
}

/** The `data` of each server-sent event, up to OpenAI's closing `[DONE]`. */
async function* readEvents(response: Response): AsyncGenerator<string> {
  const decoder = new TextDecoder()
  let rest = ''
  const brokeOff = (cause?: unknown) =>
    new CliError('the answer broke off before its end', { cause })
  const body = response.body ?? new ReadableStream<Uint8Array>()
  for await (const bytes of orFail(body, brokeOff)) {
    const lines = (rest + decoder.decode(bytes, { stream: true })).split('\n')
    rest = lines.pop() ?? ''
    for (const line of lines) {
      const data = /^data: ?(.*?)\r?$/.exec(line)?.[1]
      if (data === '[DONE]') return
      if (data !== undefined) yield data
    }
  }
  throw brokeOff()
}

async function* orFail(
  body: AsyncIterable<Uint8Array>,
  toError: (cause: unknown) => Error,
): AsyncGenerator<Uint8Array> {
  try {
    yield* body
  } catch (cause) {
    throw toError(cause)
  }
}

const MEDIA_TYPES: readonly (readonly [string, string])[] = [
  ['89504e47', 'image/png'],
  ['ffd8ff', 'image/jpeg'],
  ['52494646', 'image/webp'],
  ['47494638', 'image/gif'],
  ['424d', 'image/bmp'],
]

async function toDataUrl(file: string): Promise<string> {
  const bytes = await readFile(file).catch((cause: unknown) => {
    const code = cause instanceof Error && 'code' in cause ? ` (${String(cause.code)})` : ''
    throw new CliError(`${file} cannot be read${code}`, { cause })
  })
  const start = bytes.subarray(0, 4).toString('hex')
  const mediaType = MEDIA_TYPES.find(([magic]) => start.startsWith(magic))?.[1]
  if (mediaType === undefined) {
    throw new CliError(`${file} is not an image`, {
      hint: 'PNG, JPEG, WebP, GIF and BMP are known',
    })
  }
  return `data:${mediaType};base64,${bytes.toString('base64')}`
}
