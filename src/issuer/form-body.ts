import type { IncomingMessage } from 'node:http'
import { AppError } from '../kernel/errors.ts'

/** A username and a password of the longest kind, percent-encoded, fit twice. */
const MAX_FORM_BYTES = 16_384

/** The fields of a submitted form, of which none may be there twice: AppError `malformed_request`, and as below. */
export async function readForm(req: IncomingMessage): Promise<Record<string, string>> {
  const fields = await readFormFields(req)
  if (new Set(fields.keys()).size !== fields.size) {
    throw new AppError('malformed_request', 'A field is there twice.')
  }
  return Object.fromEntries(fields)
}

/** AppError `unsupported_media_type`, `content_too_large`, or `malformed_request` when the form breaks off. */
export async function readFormFields(req: IncomingMessage): Promise<URLSearchParams> {
  const [mediaType = ''] = (req.headers['content-type'] ?? '').split(';')
  if (mediaType.trim().toLowerCase() !== 'application/x-www-form-urlencoded') {
    throw new AppError('unsupported_media_type', 'Send the form as the page does.', {
      headers: { connection: 'close' },
    })
  }
  return new URLSearchParams(await readText(req))
}

async function readText(req: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  let bytes = 0
  try {
    for await (const chunk of req) {
      const part: Buffer = Buffer.from(chunk)
      bytes += part.byteLength
      if (bytes > MAX_FORM_BYTES) throw tooLarge()
      chunks.push(part)
    }
  } catch (cause) {
    if (cause instanceof AppError) throw cause
    throw new AppError('malformed_request', 'The form broke off.', { cause, reason: 'aborted' })
  }
  return Buffer.concat(chunks).toString()
}

function tooLarge(): AppError {
  return new AppError('content_too_large', `A form may have ${MAX_FORM_BYTES} bytes.`, {
    headers: { connection: 'close' },
  })
}
