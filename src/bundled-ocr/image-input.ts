import { imageSize } from 'image-size'
import { AppError } from '../kernel/errors.ts'

/** An image that looks like one: a known format and a size that fits into memory. In pixels. */
export type ImageInput = { bytes: Buffer; width: number; height: number }

const FORMATS = new Set(['png', 'jpg', 'webp', 'bmp', 'gif', 'tiff', 'pnm'])
const MAX_PIXELS = 50_000_000
const DATA_URL = /^data:image\/[\w.+-]+;base64,([A-Za-z0-9+/=\s]+)$/
const BASE64 = /^[A-Za-z0-9+/_=\s-]+$/

/** An `image_url` of a chat message. Only data URLs: fetching what a caller names would be an open door (CWE-918). */
export function parseImageUrl(url: string): ImageInput {
  const base64 = DATA_URL.exec(url)?.[1]
  if (base64 !== undefined) return parseImage(Buffer.from(base64, 'base64'))
  if (/^https?:/i.test(url)) {
    throw new AppError('malformed_request', 'Images by address are not fetched: send a data URL.')
  }
  throw new AppError('malformed_request', 'The image_url is not a base64 data URL of an image.')
}

/** Base64 text, with or without a data URL around it. */
export function parseBase64Image(text: string): ImageInput {
  if (text.startsWith('data:')) return parseImageUrl(text)
  if (!BASE64.test(text)) throw new AppError('malformed_request', 'The image is not base64.')
  return parseImage(Buffer.from(text, 'base64'))
}

/** `unreadable_image` for another format, a broken header, or more than 50 megapixels. */
export function parseImage(bytes: Buffer): ImageInput {
  const { type, width, height } = measure(bytes)
  if (type === undefined || !FORMATS.has(type) || !(width > 0 && height > 0)) {
    throw new AppError('unreadable_image', 'The image is broken or of an unknown format.')
  }
  if (width * height > MAX_PIXELS) {
    throw new AppError('unreadable_image', `An image is limited to ${MAX_PIXELS} pixels.`)
  }
  return { bytes, width, height }
}

function measure(bytes: Buffer) {
  try {
    return imageSize(bytes)
  } catch (cause) {
    throw new AppError('unreadable_image', 'The image is broken or of an unknown format.', {
      cause,
    })
  }
}
