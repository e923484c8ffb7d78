import * as fc from 'fast-check'
import type { IncomingMessage } from 'node:http'
import { describe, expect, test } from 'vitest'
import { requestIdOf } from '../../src/kernel/request-id.ts'

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/
const UNRESERVED = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~'

const requestWith = (inbound: unknown) =>
  ({ headers: { 'x-request-id': inbound } }) as unknown as IncomingMessage

const unreserved = (length: { minLength: number; maxLength: number }) =>
  fc.string({ unit: fc.constantFrom(...UNRESERVED.split('')), ...length })

describe('the id of a request', () => {
  test('is always the one that the caller sent when it is 8 to 128 unreserved characters', () => {
    fc.assert(
      fc.property(unreserved({ minLength: 8, maxLength: 128 }), (inbound) => {
        expect(requestIdOf(requestWith(inbound))).toBe(inbound)
      }),
    )
  })

  test('is always a new one when a single character of it is not unreserved', () => {
    const foreign = fc
      .oneof(fc.nat({ max: 0x7f }), fc.nat({ max: 0x10_ffff }))
      .map((codePoint) => String.fromCodePoint(codePoint))
      .filter((character) => !UNRESERVED.includes(character))
    const part = unreserved({ minLength: 4, maxLength: 60 })
    fc.assert(
      fc.property(part, foreign, part, (before, character, after) => {
        expect(requestIdOf(requestWith(before + character + after))).toMatch(UUID)
      }),
    )
  })

  test.each([
    ['is missing', undefined],
    ['is empty', ''],
    ['has 7 characters', 'a'.repeat(7)],
    ['has 129 characters', 'a'.repeat(129)],
    ['ends in a line feed', 'abcdefgh\n'],
    ['was sent twice', 'abcdefgh, ijklmnop'],
    ['is a list', ['abcdefgh']],
  ])('is a new one when the inbound one %s', (_title, inbound) => {
    const [first, second] = [requestIdOf(requestWith(inbound)), requestIdOf(requestWith(inbound))]
    expect(first).toMatch(UUID)
    expect(second).toMatch(UUID)
    expect(first).not.toBe(second)
  })

  test.each([8, 128])('may have %i characters', (length) => {
    const inbound = 'a'.repeat(length)
    expect(requestIdOf(requestWith(inbound))).toBe(inbound)
  })
})
