import { buffer } from 'node:stream/consumers'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { CliError } from '../../src/cli/cli-error.ts'
import { seal, unseal } from '../../src/cli/sealed-stream.ts'

const PASSPHRASE = 'correct horse battery staple'
const CHUNK_BYTES = 65_536
const SEALED_CHUNK_BYTES = CHUNK_BYTES + 16
/** A header of 42 bytes, and its HMAC. */
const HEADER_BYTES = 42 + 32

async function* partsOf(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size)
}

const sealed = (content: Uint8Array, size = 10_000): Promise<Buffer> =>
  buffer(seal(partsOf(content, size), PASSPHRASE))

async function opened(file: Uint8Array, size = 10_000, passphrase = PASSPHRASE): Promise<Buffer> {
  const { content } = await unseal(partsOf(file, size), passphrase)
  return buffer(content)
}

describe('a sealed stream', () => {
  test('always gives back what was put in, however either is cut into parts', async () => {
    const size = fc.integer({ min: 1, max: 200_000 })
    const length = fc.oneof(
      fc.integer({ min: 0, max: 3 * CHUNK_BYTES }),
      fc.constantFrom(0, 1, CHUNK_BYTES, CHUNK_BYTES + 1, 2 * CHUNK_BYTES),
    )
    await fc.assert(
      fc.asyncProperty(length, size, size, async (bytes, sealSize, openSize) => {
        const content = Buffer.alloc(bytes, 'Gatehouse')
        const file = await sealed(content, sealSize)
        expect(content.equals(await opened(file, openSize))).toBe(true)
      }),
      { numRuns: 5 },
    )
  })

  test('never shows what is in it, and is another one each time', async () => {
    const content = Buffer.from('secret '.repeat(100))
    const files = await Promise.all([sealed(content), sealed(content)])
    expect(files[0].includes('secret')).toBe(false)
    expect(files[0].equals(files[1])).toBe(false)
  })
})

describe('what was done to a sealed stream is found:', () => {
  const content = Buffer.alloc(2.5 * CHUNK_BYTES, 'Gatehouse')
  const file = sealed(content)

  test('another passphrase', async () => {
    await expect(opened(await file, 10_000, `${PASSPHRASE}.`)).rejects.toThrow(
      'passphrase is wrong',
    )
  })

  test.each([
    ['in the salt', 20],
    ['in the HMAC of the header', 50],
    ['in the first chunk', HEADER_BYTES],
    ['in the last tag', HEADER_BYTES + 2.5 * CHUNK_BYTES + 3 * 16 - 1],
  ])('a changed byte %s', async (_where, position) => {
    const changed = Buffer.from(await file)
    changed[position] = changed.readUInt8(position) === 0x41 ? 0x42 : 0x41
    await expect(opened(changed)).rejects.toThrow(CliError)
  })

  test.each([
    ['in the header', 30],
    ['in the HMAC', 60],
    ['before the first chunk', HEADER_BYTES],
    ['within a chunk', HEADER_BYTES + 100],
    ['after a chunk', HEADER_BYTES + SEALED_CHUNK_BYTES],
    ['after another', HEADER_BYTES + 2 * SEALED_CHUNK_BYTES],
  ])('an end %s', async (_where, length) => {
    await expect(opened((await file).subarray(0, length))).rejects.toThrow(CliError)
  })

  test('chunks that changed places, and one that came twice', async () => {
    const whole = await file
    const header = whole.subarray(0, HEADER_BYTES)
    const first = whole.subarray(HEADER_BYTES, HEADER_BYTES + SEALED_CHUNK_BYTES)
    const second = whole.subarray(HEADER_BYTES + SEALED_CHUNK_BYTES).subarray(0, SEALED_CHUNK_BYTES)
    const last = whole.subarray(HEADER_BYTES + 2 * SEALED_CHUNK_BYTES)
    for (const parts of [
      [second, first, last],
      [first, first, second, last],
      [first, last],
    ]) {
      await expect(opened(Buffer.concat([header, ...parts]))).rejects.toThrow('damaged')
    }
  })

  test('more at its end', async () => {
    await expect(opened(Buffer.concat([await file, Buffer.of(0)]))).rejects.toThrow('damaged')
  })

  test('a newer version', async () => {
    const newer = Buffer.from((await file).toString('latin1').replace(' 1 ', ' 2 '), 'latin1')
    await expect(opened(newer)).rejects.toThrow('has version 2, newer than')
  })

  test.each(['', 'x', '{"kind":"backup"}\n', 'gatehouse-backup\n'])(
    'something else: %j',
    async (text) => {
      await expect(opened(Buffer.from(text))).rejects.toThrow('not a backup of Gatehouse')
    },
  )
})
