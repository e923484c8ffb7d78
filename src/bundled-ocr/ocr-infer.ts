import type { IncomingMessage, ServerResponse } from 'node:http'
import { z } from 'zod'
import { AppError } from '../kernel/errors.ts'
import { parseBase64Image, parseImage, type ImageInput } from './image-input.ts'
import { ENGINE, MODEL } from './model.ts'
import type { TextLine } from './recognised-text.ts'
import { parseJson } from './request-body.ts'
import { estimateUsage } from './usage.ts'

const jsonRequest = z.object({ image: z.string().min(1), prompt: z.string().default('') })

type InferRequest = { image: ImageInput; prompt: string }

/** Answers the plain server's `POST /ocr/infer`: an image as base64 in JSON, or as a file in multipart/form-data. */
export async function inferOcr(
  req: IncomingMessage,
  body: Buffer,
  readLines: (image: ImageInput) => Promise<readonly TextLine[]>,
  res: ServerResponse,
): Promise<void> {
  const startedAtMs = performance.now()
  const { image, prompt } = await parseInferRequest(req.headers['content-type'] ?? '', body)
  const lines = await readLines(image)
  const text = lines.map((line) => line.text).join('\n')
  const answer = {
    text,
    lines,
    engine: ENGINE,
    model: MODEL,
    duration_ms: Math.round(performance.now() - startedAtMs),
    usage: estimateUsage(prompt, [image], text),
  }
  res.setHeader('content-type', 'application/json').end(JSON.stringify(answer))
}

async function parseInferRequest(contentType: string, body: Buffer): Promise<InferRequest> {
  if (contentType.startsWith('multipart/form-data')) return parseForm(contentType, body)
  if (!contentType.startsWith('application/json')) {
    throw new AppError('unsupported_media_type', 'Send application/json or multipart/form-data.')
  }
  const parsed = jsonRequest.safeParse(parseJson(body))
  if (!parsed.success)
    throw new AppError('malformed_request', 'There is no base64 image in the member image.')
  return { image: parseBase64Image(parsed.data.image), prompt: parsed.data.prompt }
}

async function parseForm(contentType: string, body: Buffer): Promise<InferRequest> {
  const form = await new Response(new Uint8Array(body), {
    headers: { 'content-type': contentType },
  })
    .formData()
    .catch((cause: unknown) => {
      throw new AppError('malformed_request', 'The body is not multipart/form-data.', { cause })
    })
  const file = form.get('image') ?? form.get('file')
  if (!(file instanceof Blob))
    throw new AppError('malformed_request', 'There is no file in the field image.')
  const prompt = form.get('prompt')
  return {
    image: parseImage(Buffer.from(await file.arrayBuffer())),
    prompt: typeof prompt === 'string' ? prompt : '',
  }
}
