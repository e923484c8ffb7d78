import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { identifierSchema } from '../../src/registry/identifier.ts'
import {
  newPasswordSchema,
  newUserSchema,
  usernameSchema,
  userSubjectSchema,
  type NewUserRequest,
} from '../../src/registry/user.ts'

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

test('a password has 8 characters or more, when it is set as when it is changed', () => {
  const made = (password: string) =>
    newUserSchema.safeParse({ username: 'ada', password } satisfies NewUserRequest).success
  const changed = (password: string) => newPasswordSchema.safeParse({ password }).success
  expect([made('1234567'), made('12345678')]).toEqual([false, true])
  expect([changed('1234567'), changed('12345678')]).toEqual([false, true])
})

test('RFC 9068 §5: nothing is the subject of a user and the id of a client', () => {
  fc.assert(
    fc.property(fc.oneof(fc.uuid(), fc.stringMatching(/^[0-9a-f-]{36}$/)), (uuid) => {
      const sub = `user:${uuid}`
      expect(userSubjectSchema.safeParse(sub).success).toBe(true)
      expect(identifierSchema.safeParse(sub).success).toBe(false)
    }),
  )
})
