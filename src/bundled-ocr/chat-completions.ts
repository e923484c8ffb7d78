import { randomUUID } from 'node:crypto'
import type { ServerResponse } from 'node:http'
import { z } from 'zod'
import { AppError } from '../kernel/errors.ts'
import { parseImageUrl, type ImageInput } from './image-input.ts'
import { ENGINE, MODEL } from './model.ts'
import type { ReadPage } from './server.ts'
import { estimateUsage, type Usage } from './usage.ts'

const textPart = z.object({ type: z.literal('text'), text: z.string() })
const imagePart = z.object({
  type: z.literal('image_url'),
  image_url: z.object({ url: z.string() }),
})
const requestSchema = z.object({
  model: z.string(),
  messages: z
    .array(
      z.object({
        role: z.string(),
        content: z.union([
          z.string(),
          z.array(z.discriminatedUnion('type', [textPart, imagePart])),
          z.null(),
        ]),
      }),
    )
    .min(1),
  stream: z.boolean().nullish(),
  stream_options: z.object({ include_usage: z.boolean().nullish() }).nullish(),
})

type ChatRequest = { images: ImageInput[]; prompt: string; isStream: boolean; wantsUsage: boolean }

/** Answers one chat completion in the shape of OpenAI's API, whole or as server-sent events, a line of text each. */
export async function completeChat(
  body: unknown,
  readPage: ReadPage,
  res: ServerResponse,
): Promise<void> {
  const request = parseChatRequest(body)
  const answer = startAnswer()
  if (request.isStream) startStream(res, answer)
  const lines: string[] = []
  for (const image of request.images) {
    for (const line of await readPage(image, request.prompt)) {
      const piece = lines.length === 0 ? line : `\n${line}`
      lines.push(line)
      if (request.isStream) sendChunk(res, answer, { choices: [choice({ content: piece }, null)] })
    }
  }
  const text = lines.join('\n')
  const usage = estimateUsage(request.prompt, request.images, text)
  if (request.isStream) endStream(res, answer, request.wantsUsage ? usage : undefined)
  else sendWhole(res, answer, text, usage)
}

function parseChatRequest(body: unknown): ChatRequest {
  const parsed = requestSchema.safeParse(body)
  if (!parsed.success) {
    const issue = parsed.error.issues[0]
    throw new AppError(
      'malformed_request',
      `${issue?.path.join('.') ?? 'body'}: ${issue?.message ?? 'not valid'}`,
    )
  }
  const { model, messages, stream, stream_options } = parsed.data
  if (model !== MODEL) throw new AppError('model_not_found', `Only ${MODEL} is served here.`)
  const parts = messages
    .filter(({ role }) => role === 'user')
    .flatMap(({ content }) =>
      typeof content === 'string' ? [{ type: 'text' as const, text: content }] : (content ?? []),
    )
  const images = parts.flatMap((part) =>
    part.type === 'image_url' ? [parseImageUrl(part.image_url.url)] : [],
  )
  if (images.length === 0)
    throw new AppError('malformed_request', 'There is no image in the messages.')
  return {
    images,
    prompt: parts.flatMap((part) => (part.type === 'text' ? [part.text] : [])).join('\n'),
    isStream: stream === true,
    wantsUsage: stream_options?.include_usage === true,
  }
}

type Answer = { id: string; created: number }

const startAnswer = (): Answer => ({
  id: `chatcmpl-${randomUUID()}`,
  created: Math.floor(Date.now() / 1000),
})

const choice = (delta: { role?: 'assistant'; content?: string }, finish_reason: 'stop' | null) => ({
  index: 0,
  delta,
  finish_reason,
})

function sendWhole(res: ServerResponse, { id, created }: Answer, text: string, usage: Usage): void {
  const body = {
    id,
    object: 'chat.completion',
    created,
    model: MODEL,
    system_fingerprint: ENGINE,
    choices: [{ index: 0, message: { role: 'assistant', content: text }, finish_reason: 'stop' }],
    usage,
  }
  res.setHeader('content-type', 'application/json').end(JSON.stringify(body))
}

function startStream(res: ServerResponse, answer: Answer): void {
  res.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' })
  sendChunk(res, answer, { choices: [choice({ role: 'assistant', content: '' }, null)] })
}

function endStream(res: ServerResponse, answer: Answer, usage: Usage | undefined): void {
  sendChunk(res, answer, { choices: [choice({}, 'stop')] })
  if (usage !== undefined) sendChunk(res, answer, { choices: [], usage })
  res.end('data: [DONE]\n\n')
}

function sendChunk(res: ServerResponse, { id, created }: Answer, content: object): void {
  const chunk = {
    id,
    object: 'chat.completion.chunk',
    created,
    model: MODEL,
    system_fingerprint: ENGINE,
    ...content,
  }
  res.write(`data: ${JSON.stringify(chunk)}\n\n`)
}
