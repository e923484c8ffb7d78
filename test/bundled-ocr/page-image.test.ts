import { describe, expect, test } from 'vitest'
import { isSideways, withLeadingOrientation } from '../../src/bundled-ocr/exif-orientation.ts'
import { parseBase64, parseDataUrl, parsePageImage } from '../../src/bundled-ocr/page-image.ts'
import { AppError } from '../../src/kernel/errors.ts'

const PIXEL =
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+A8AAQUBAScY42YAAAAASUVORK5CYII='

function codeOf(act: () => unknown): string {
  try {
    act()
    return 'nothing thrown'
  } catch (error) {
    return error instanceof AppError ? error.code : 'not an AppError'
  }
}

describe('an image', () => {
  test('has its dimensions in pixels', () => {
    expect(parsePageImage(parseBase64(PIXEL))).toMatchObject({ width: 1, height: 1 })
  })

  test.each([
    ['empty', Buffer.alloc(0)],
    ['text', Buffer.from('not an image at all')],
    ['a GIF, whose frames may be larger than it says', Buffer.from('GIF89a\n\0\n\0\0\0\0')],
    [
      'a JPEG of nothing but zeros',
      Buffer.concat([Buffer.from('ffd8ffe0', 'hex'), Buffer.alloc(999)]),
    ],
  ])('is refused when it is %s', (_what, bytes) => {
    expect(codeOf(() => parsePageImage(bytes))).toBe('unreadable_image')
  })

  test('is refused for a BMP of more than 4 MiB, which the engine blows up eighty times', () => {
    const bmp = Buffer.alloc(5_000_000)
    bmp.write('BM', 'latin1')
    bmp.writeUInt32LE(100, 18)
    bmp.writeInt32LE(100, 22)
    expect(codeOf(() => parsePageImage(bmp))).toBe('unreadable_image')
    expect(parsePageImage(bmp.subarray(0, 4_000_000))).toMatchObject({ width: 100, height: 100 })
  })
})

describe('a data URL', () => {
  test('gives its bytes, line breaks allowed', () => {
    expect(Buffer.from(parseDataUrl('data:image/png;base64,aGVs\nbG8=')).toString()).toBe('hello')
  })

  test.each([
    'http://169.254.169.254/latest/meta-data',
    'https://example.org/a.png',
    'file:///etc/passwd',
    'data:image/png,plain',
  ])('is the only URL that is read, not %s (CWE-918)', (url) => {
    expect(codeOf(() => parseDataUrl(url))).toBe('malformed_request')
  })
})

describe('a phone’s orientation', () => {
  test('is put where the engine looks, and turns the sides', () => {
    const jpeg = Buffer.from('ffd8ffd9', 'hex')
    expect(withLeadingOrientation(jpeg, 1)).toBe(jpeg)
    const turned = Buffer.from(withLeadingOrientation(jpeg, 6))
    expect(turned.subarray(0, 4).toString('hex')).toBe('ffd8ffe1')
    // The tag as the engine searches it: 274, SHORT, one value, big-endian.
    expect(turned.includes(Buffer.from('01120003000000010006', 'hex'))).toBe(true)
    expect([1, 4, 5, 8].map((orientation) => isSideways(orientation))).toEqual([
      false,
      false,
      true,
      true,
    ])
  })
})
