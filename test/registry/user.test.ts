import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { newUserSchema, usernameSchema } from '../../src/registry/user.ts'

describe('a username', () => {
  test.each([
    ['Ada', 'ada'],
    ['ａｄａ@example.com', 'ada@example.com'],
    ['李雷', '李雷'],
    ['E\u0301va', '\u00e9va'],
  ])('%s is kept as %s', (given, kept) => {
    expect(usernameSchema.parse(given)).toBe(kept)
  })

  test.each([[''], ['a b'], ['a/b'], ['a\u200bb'], ['a\n'], ['x'.repeat(129)], ['\ud800']])(
    '%j is none',
    (given) => {
      expect(usernameSchema.safeParse(given).success).toBe(false)
    },
  )

  test('stays what it is once it was kept', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), (given) => {
        const kept = usernameSchema.safeParse(given)
        fc.pre(kept.success)
        expect(usernameSchema.parse(kept.data)).toBe(kept.data)
      }),
    )
  })
})

test('a password has 8 characters or more', () => {
  const request = (password: string) => newUserSchema.safeParse({ username: 'ada', password })
  expect([request('1234567').success, request('12345678').success]).toEqual([false, true])
})
