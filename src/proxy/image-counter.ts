import type { IncomingHttpHeaders } from 'node:http'
import { createJsonScanner, listOf, objectWith, SOUGHT, type Finder } from './json-scanner.ts'
import { identityTypeOf } from './media-type.ts'

/** Is shown a request's body as it passes, and counts the images in it. */
export type ImageCounter = { onChunk: (chunk: Buffer) => void; count: () => number }

/**
 * Counts the `image_url` parts of a chat's messages, the `image` of a plain JSON request, and the files of a form. Keeps nothing of
 * a body but the headers of a form's part; of an encoded body, or one of another type, it counts nothing, and of a form the files
 * among its first 1,000 parts.
 */
export function createImageCounter(headers: IncomingHttpHeaders): ImageCounter {
  const type = identityTypeOf(headers)
  if (type === 'application/json') return new JsonImages()
  const boundary = type === 'multipart/form-data' ? boundaryOf(headers) : undefined
  return boundary === undefined ? NO_IMAGES : countFiles(boundary)
}

const NO_IMAGES: ImageCounter = { onChunk: () => undefined, count: () => 0 }

class JsonImages implements ImageCounter, Finder {
  readonly #scanner = createJsonScanner(IMAGES, this)
  #images = 0

  onFound(): void {
    this.#images += 1
  }

  onChunk(chunk: Buffer): void {
    this.#scanner.scan(chunk, 0, chunk.length)
  }

  count(): number {
    return this.#images
  }
}

function countFiles(boundary: string): ImageCounter {
  let files = 0
  const onChunk = createFormReader(boundary, () => {
    files += 1
  })
  return { onChunk, count: () => files }
}

const CHAT_MESSAGE = objectWith({ content: listOf(objectWith({ image_url: SOUGHT })) })
const IMAGES = objectWith({ messages: listOf(CHAT_MESSAGE), image: SOUGHT })

/** RFC 2046 §5.1.1 */
const BOUNDARY = /;\s*boundary=(?:"([^"]{1,70})"|([^\s";]{1,70}))/i

function boundaryOf({ 'content-type': contentType = '' }: IncomingHttpHeaders) {
  const [, quoted, plain] = BOUNDARY.exec(contentType) ?? []
  return quoted ?? plain
}

const MAX_PART_HEADER_BYTES = 4096
/** More are no form that anybody sends, and not worth the time. */
const MAX_PARTS = 1000
const END_OF_HEADERS = Buffer.from('\r\n\r\n')
/** RFC 7578 §4.2: what has a file name is a file. */
const IS_FILE = /^content-disposition:.*;\s*filename\*?=/im

function createFormReader(boundary: string, onFile: () => void): (chunk: Buffer) => void {
  const delimiter = Buffer.from(`\r\n--${boundary}`)
  // The first delimiter may be the very beginning.
  let rest = Buffer.from('\r\n')
  let isInHeaders = false
  let parts = 0
  return (chunk) => {
    if (parts > MAX_PARTS) return
    const bytes = Buffer.concat([rest, chunk])
    let from = 0
    for (;;) {
      const sought = isInHeaders ? END_OF_HEADERS : delimiter
      const at = bytes.indexOf(sought, from)
      if (at === -1) {
        const kept = isInHeaders ? MAX_PART_HEADER_BYTES : delimiter.length - 1
        rest = bytes.subarray(Math.max(from, bytes.length - kept))
        return
      }
      if (isInHeaders && IS_FILE.test(bytes.toString('latin1', from, at))) onFile()
      if (!isInHeaders) parts += 1
      if (parts > MAX_PARTS) return
      isInHeaders = !isInHeaders
      from = at + sought.length
    }
  }
}
