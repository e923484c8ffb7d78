import fc from 'fast-check'
import { expect, test } from 'vitest'
import { createImageCounter } from '../../src/proxy/image-counter.ts'
import { createUsageMeter } from '../../src/proxy/usage-meter.ts'

/** How many images are found in a body that comes in pieces of that many bytes. */
function countImages(body: string | Buffer, contentType: string, pieceBytes = 1_000_000): number {
  const bytes = Buffer.from(body)
  const images = createImageCounter({ 'content-type': contentType })
  for (let at = 0; at < bytes.length; at += pieceBytes) {
    images.onChunk(bytes.subarray(at, at + pieceBytes))
  }
  return images.count()
}

const image = { type: 'image_url', image_url: { url: 'data:image/png;base64,iVBORw0KGgo=' } }
const text = { type: 'text', text: 'Read it. "image_url":{}' }

test.each([
  ['a chat', { messages: [{ role: 'user', content: [image, text, image] }] }, 2],
  ['a chat of several messages', { messages: [{ content: [image] }, { content: [image] }] }, 2],
  ['an image by its address alone', { messages: [{ content: [{ image_url: 'data:' }] }] }, 1],
  ['a chat without an image', { messages: [{ content: 'Hello' }] }, 0],
  ['a plain request', { image: 'iVBORw0KGgo=', prompt: 'Read it.' }, 1],
  ['an empty plain request', { image: '' }, 0],
])('the images of %s are counted', (_what, body, images) => {
  for (const pieceBytes of [1, 7, 1_000_000]) {
    expect(countImages(JSON.stringify(body), 'application/json', pieceBytes)).toBe(images)
  }
})

test('the files of a form are counted however it is cut, and whatever they hold', () => {
  const part = fc.record({
    isFile: fc.boolean(),
    content: fc.oneof(
      fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes)),
      fc
        .constantFrom(
          '\r\n--other\r\ncontent-disposition: form-data; name="x"; filename="y"\r\n\r\n',
          'content-disposition: form-data; filename="y"',
          '\r\n--boundar',
          '\r\n\r\n\r\n',
        )
        .map((content) => Buffer.from(content)),
    ),
  })
  fc.assert(
    fc.property(
      fc.array(part, { maxLength: 6 }),
      fc.integer({ min: 1, max: 200 }),
      (parts, pieceBytes) => {
        const body = Buffer.concat([
          ...parts.flatMap(({ isFile, content }) => [
            Buffer.from('--boundary\r\nContent-Disposition: form-data; name="image"'),
            Buffer.from(isFile ? '; filename="a.png"\r\nContent-Type: image/png' : ''),
            Buffer.from('\r\n\r\n'),
            content,
            Buffer.from('\r\n'),
          ]),
          Buffer.from('--boundary--\r\n'),
        ])
        const files = parts.filter(({ isFile }) => isFile).length
        expect(countImages(body, 'multipart/form-data; boundary=boundary', pieceBytes)).toBe(files)
      },
    ),
    { numRuns: 200 },
  )
})

test('the files of a form count up to its thousandth part', () => {
  const part = '\r\n--x\r\ncontent-disposition: form-data; filename="a"\r\n\r\n'
  for (const pieceBytes of [100, 1_000_000]) {
    const count = (parts: number) =>
      countImages(part.repeat(parts), 'multipart/form-data; boundary=x', pieceBytes)
    expect([count(999), count(1000), count(5000)]).toEqual([999, 1000, 1000])
  }
})

test('what is encoded, of another type or without a boundary is not counted', () => {
  const body = JSON.stringify({ image: 'iVBORw0KGgo=' })
  const encoded = createImageCounter({
    'content-type': 'application/json',
    'content-encoding': 'gzip',
  })
  encoded.onChunk(Buffer.from(body))
  expect(encoded.count()).toBe(0)
  expect(countImages(body, 'text/plain')).toBe(0)
  expect(countImages('--x\r\n', 'multipart/form-data')).toBe(0)
})

const IMAGE = Buffer.from('{"image":"iVBORw0KGgo="}')

test.each([
  [200, 'a body in one', { images: 1, completion_tokens: 5 }],
  [200, 'a body in pieces', { images: 1, completion_tokens: 5 }],
  [400, 'a body in one', { completion_tokens: 5 }],
  [400, 'a body in pieces', { completion_tokens: 5 }],
])('an answer %i to %s is metered with the images that it read', (status, body, expected) => {
  let usage: unknown
  const meter = createUsageMeter({ 'content-type': 'application/json' }, (known) => {
    usage = known
  })
  if (body === 'a body in one') meter.onRequestBody(IMAGE)
  else for (const byte of IMAGE) meter.onRequestChunk(Buffer.of(byte))
  meter.onHeaders(status, { 'content-type': 'application/json' })
  meter.onChunk(Buffer.from('{"usage":{"completion_tokens":5}}'))
  expect(usage).toEqual(expected)
})
