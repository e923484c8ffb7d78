import { imageSize } from 'image-size'
import { AppError } from '../kernel/errors.ts'
import { isSideways, withLeadingOrientation } from './exif-orientation.ts'

/** An image that is worth showing to the engine; `width` and `height` are in pixels, upright. */
export type PageImage = { bytes: Uint8Array; width: number; height: number }

const FORMATS = new Set(['png', 'jpg', 'webp', 'bmp'])
const MAX_PIXELS = 40_000_000
/** The engine's BMP reader takes some 80 times the file's size in memory. */
const MAX_BMP_BYTES = 4_194_304
/** Where the dimensions have to be found: the search in a broken JPEG goes byte by byte. */
const HEADER_BYTES = 1_048_576

/**
 * Recognises an image by its first bytes, never by what the caller calls it. AppError `unreadable_image` unless it is
 * a PNG, JPEG, WebP or small BMP of at most 40 megapixels.
 */
export function parsePageImage(bytes: Uint8Array): PageImage {
  if (bytes.length === 0) throw unreadable('The image is empty.')
  const { type, width, height, orientation } = measure(bytes)
  if (type === undefined || !FORMATS.has(type)) {
    throw unreadable('This is not an image that the engine reads: send a PNG, JPEG, WebP or BMP.')
  }
  if (width < 1 || height < 1) throw unreadable('The image has no pixels.')
  if (width * height > MAX_PIXELS) {
    throw unreadable(
      `An image is limited to ${MAX_PIXELS} pixels, this one has ${width} × ${height}.`,
    )
  }
  if (type === 'bmp' && bytes.length > MAX_BMP_BYTES) {
    throw unreadable(
      `A BMP is limited to ${MAX_BMP_BYTES} bytes: send a PNG, JPEG or WebP instead.`,
    )
  }
  const sides = isSideways(orientation) ? { width: height, height: width } : { width, height }
  return { bytes: type === 'jpg' ? withLeadingOrientation(bytes, orientation) : bytes, ...sides }
}

/**
 * The bytes of a `data:` URL with base64 (RFC 2397). AppError `malformed_request` for any other URL: fetching what a
 * caller names would let them reach into the network that this engine stands in (CWE-918).
 */
export function parseDataUrl(url: string): Uint8Array {
  if (!url.startsWith('data:')) {
    throw new AppError(
      'malformed_request',
      'Only data URLs are read, nothing is fetched: send the image itself as data:image/jpeg;base64,…',
    )
  }
  const comma = url.indexOf(',')
  if (comma === -1 || !url.slice(0, comma).endsWith(';base64')) {
    throw new AppError('malformed_request', 'The data URL of an image has to be in base64.')
  }
  return parseBase64(url.slice(comma + 1))
}

/** The bytes of base64 text (RFC 4648 §4), line breaks allowed; AppError `unreadable_image` for anything else. */
export function parseBase64(text: string): Uint8Array {
  try {
    return Uint8Array.fromBase64(text)
  } catch (error) {
    throw unreadable('The image is not valid base64.', error)
  }
}

function measure(bytes: Uint8Array): ReturnType<typeof imageSize> {
  try {
    return imageSize(bytes.subarray(0, HEADER_BYTES))
  } catch (error) {
    throw unreadable(
      'This is not a whole image: its format or its dimensions cannot be made out. Send a PNG, JPEG, WebP or BMP.',
      error,
    )
  }
}

function unreadable(detail: string, cause?: unknown): AppError {
  return new AppError('unreadable_image', detail, { cause })
}
