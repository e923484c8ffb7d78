import { z } from 'zod'
import { AppError } from '../kernel/errors.ts'
import { MODEL } from './identity.ts'
import { parseDataUrl, parsePageImage, type PageImage } from './page-image.ts'
import { parseJson } from './request-body.ts'

/** What a chat completion request asks of this engine: one page, the prompt's text, and how to answer. */
export type ChatRequest = {
  image: PageImage
  prompt: string
  isStreamed: boolean
  includesUsage: boolean
  /** Infinity when the caller set none. */
  maxTokens: number
}

const textPartSchema = z.object({ type: z.literal('text'), text: z.string() })
const imagePartSchema = z.object({
  type: z.literal('image_url'),
  image_url: z.union([z.string(), z.object({ url: z.string() }).transform(({ url }) => url)]),
})
const contentSchema = z.union([
  z.string().transform((text) => [{ type: 'text' as const, text }]),
  z.array(z.discriminatedUnion('type', [textPartSchema, imagePartSchema])),
])
const tokenLimitSchema = z.number().int().positive().nullish()

/** Everything else that OpenAI's API knows (temperature, n, …) is left out, which means ignored. */
const chatBodySchema = z.object({
  model: z.string(),
  messages: z.array(z.object({ content: contentSchema.nullish() })).min(1),
  stream: z.boolean().nullish(),
  stream_options: z.object({ include_usage: z.boolean().nullish() }).nullish(),
  max_tokens: tokenLimitSchema,
  max_completion_tokens: tokenLimitSchema,
})

/**
 * AppError `malformed_request` (also unless there is exactly one image), `model_not_found` or `unreadable_image`.
 */
export function parseChatRequest(body: Buffer): ChatRequest {
  const chat = parseJson(chatBodySchema, body)
  if (chat.model !== MODEL) {
    throw new AppError('model_not_found', `This server has the model ${MODEL} only.`)
  }
  const parts = chat.messages.flatMap(({ content }) => content ?? [])
  const texts = parts.flatMap((part) => (part.type === 'text' ? [part.text] : []))
  const urls = parts.flatMap((part) => (part.type === 'image_url' ? [part.image_url] : []))
  const [url] = urls
  if (url === undefined || urls.length > 1) {
    throw new AppError(
      'malformed_request',
      `The messages need exactly one image_url part, they have ${urls.length}.`,
    )
  }
  return {
    image: parsePageImage(parseDataUrl(url)),
    prompt: texts.join('\n'),
    isStreamed: chat.stream ?? false,
    includesUsage: chat.stream_options?.include_usage ?? false,
    maxTokens: chat.max_completion_tokens ?? chat.max_tokens ?? Infinity,
  }
}
