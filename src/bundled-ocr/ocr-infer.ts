import type { IncomingMessage } from 'node:http'
import { z } from 'zod'
import { AppError } from '../kernel/errors.ts'
import { countUsage, toAnswerLines } from './answer.ts'
import { sendJson, type Call, type Tools } from './call.ts'
import { ENGINE, MODEL } from './identity.ts'
import { parseBase64, parseDataUrl, parsePageImage, type PageImage } from './page-image.ts'
import { mediaTypeOf, parseJson, readBody, requirePlainBody } from './request-body.ts'

type InferRequest = { image: PageImage; prompt: string }

const inferBodySchema = z.object({ image: z.string(), prompt: z.string().nullish() })
/** The names of the file's form field that clients use. */
const FILE_FIELDS = ['image', 'file']

/** `POST /ocr/infer`: the plain shape, an image in JSON (base64 or data URL) or as a form's file. */
export async function inferPage(call: Call, tools: Tools): Promise<void> {
  const startedAt = tools.clock()
  const { image, prompt } = await parseInferRequest(call, tools.maxBodyBytes)
  const lines = await tools.engine.read(image, {
    signal: call.signal,
    onProgress: (fraction) => tools.onReading(fraction, call.requestId),
  })
  const text = toAnswerLines(lines, image, prompt).join('\n')
  sendJson(call, {
    text,
    lines,
    engine: ENGINE,
    model: MODEL,
    duration_ms: tools.clock() - startedAt,
    usage: countUsage(image, prompt, text),
  })
}

async function parseInferRequest({ req, res }: Call, maxBodyBytes: number): Promise<InferRequest> {
  requirePlainBody(req)
  const body = await readBody(req, res, maxBodyBytes)
  switch (mediaTypeOf(req)) {
    case 'application/json':
      return parseJsonRequest(body)
    case 'multipart/form-data':
      return parseFormRequest(req, body)
    default:
      throw new AppError(
        'unsupported_media_type',
        'Send application/json with an image in base64, or multipart/form-data with a file.',
      )
  }
}

function parseJsonRequest(body: Buffer): InferRequest {
  const { image, prompt } = parseJson(inferBodySchema, body)
  const isUrl = /^[a-z]+:/i.test(image.slice(0, 10))
  return {
    image: parsePageImage(isUrl ? parseDataUrl(image) : parseBase64(image)),
    prompt: prompt ?? '',
  }
}

async function parseFormRequest(
  req: IncomingMessage,
  body: Buffer<ArrayBuffer>,
): Promise<InferRequest> {
  const contentType = req.headers['content-type'] ?? ''
  const form = await new Response(body, { headers: { 'content-type': contentType } })
    .formData()
    .catch((error: unknown) => {
      throw new AppError('malformed_request', 'The form is not valid.', { cause: error })
    })
  const file = FILE_FIELDS.map((field) => form.get(field)).find((value) => value instanceof Blob)
  if (!(file instanceof Blob)) {
    throw new AppError('malformed_request', 'The form needs a file in its field «image» or «file».')
  }
  const prompt = form.get('prompt')
  return {
    image: parsePageImage(new Uint8Array(await file.arrayBuffer())),
    prompt: typeof prompt === 'string' ? prompt : '',
  }
}
